// The CPU backend, linked into the addon.
#pragma once

#include "wisemerge/backend.h"

extern "C" const WmBackend* wisemerge_cpu_backend(void);
