#include "check.h"

int main(int argc, char** argv) { return wisemerge::test::run(argc, argv); }
