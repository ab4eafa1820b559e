// What read_torch_file gives, and what it refuses: the archive, the pickle, the globals, the tensors.
#include "core/torch_file.h"

#include <ctime>

#include "check.h"
#include "torch_fixture.h"

namespace wisemerge {
namespace {

using namespace test;  // NOLINT: the writers of torch_fixture.h

TorchFile open(const std::string& bytes) {
  MemorySource source(bytes);
  return read_torch_file(source);
}

std::string refusal(const std::string& bytes) {
  try {
    open(bytes);
    return "accepted";
  } catch (const Error& error) {
    return error.code() + ": " + error.what();
  }
}

void check_refusal(const std::string& bytes, const std::string& code, const std::string& part) {
  const std::string found = refusal(bytes);
  if (!found.starts_with(code + ":") || found.find(part) == std::string::npos) {
    test::fail(__FILE__, __LINE__, found + " is not " + code + " with " + part);
  }
}

const Storages kSix = {{"0", std::string(24, 'a')}};
const View kMatrix = {{2, 3}, {3, 1}};
std::string six(const View& view) { return tensor("FloatStorage", "0", 6, view); }
std::string file_of(const std::string& root) { return torch_file(pickle(root), kSix); }

TEST("torch file: tensors lie where their storages do") {
  for (const bool zip64 : {false, true}) {
    const std::string root = dict({{"w", six(kMatrix)},
                                   {"tied", six(kMatrix)},
                                   {"row", six({{3}, {1}, 3})},
                                   {"scalar", six({{}, {}, 5})},
                                   {"empty", six({{0, 4}, {4, 1}})},
                                   {"ones", six({{1, 2, 1}, {99, 1, 7}, 2})},
                                   {"b", tensor("BFloat16Storage", "k", 2, {{2}, {1}})}});
    const std::string bytes = torch_file(pickle(root), {{"0", std::string(24, 'a')}, {"k", "bbbb"}}, {zip64});
    const SafetensorsHeader header = open(bytes).header;
    const uint64_t at = bytes.find(std::string(24, 'a')), k_at = bytes.find("bbbb");
    struct Row {
      const char* name;
      DType dtype;
      uint64_t begin, end;
    };
    const Row rows[] = {{"w", DType::kF32, at, at + 24},        {"tied", DType::kF32, at, at + 24},
                        {"empty", DType::kF32, at, at},         {"ones", DType::kF32, at + 8, at + 16},
                        {"row", DType::kF32, at + 12, at + 24}, {"scalar", DType::kF32, at + 20, at + 24},
                        {"b", DType::kBF16, k_at, k_at + 4}};
    CHECK_EQ(header.size(), 7u);
    for (size_t i = 0; i < 7; i++) {
      CHECK_EQ(header.name(i), rows[i].name);
      CHECK(header.dtypes[i] == rows[i].dtype);
      CHECK_EQ(header.begins[i], rows[i].begin);
      CHECK_EQ(header.ends[i], rows[i].end);
    }
    CHECK(header.dims == (std::vector<uint64_t>{2, 3, 2, 3, 0, 4, 1, 2, 1, 3, 2}));
  }
}

TEST("torch file: wrapped state dicts") {
  const std::string model = dict({{"w", six(kMatrix)}});
  const auto first = [](const std::string& root) { return std::string(open(file_of(root)).header.name(0)); };
  CHECK_EQ(first(dict({{"epoch", whole(3)}, {"state_dict", model}})), "w");
  CHECK_EQ(first(dict({{"module", dict({{"model", model}})}})), "w");
  CHECK_EQ(first(dict({{"model", model}, {"w", six(kMatrix)}})), "model.w");
  CHECK_EQ(first(dict({{"encoder", model}})), "encoder.w");
  CHECK_EQ(first(dict({{"list", "](" + six(kMatrix) + "e"}})), "list.0");
  const auto notes = open(file_of(dict({{"optimizer", model}, {"model", model}, {"lr", whole(1)}}))).notes;
  CHECK_EQ(notes.size(), 1u);
  CHECK(notes[0].find("left out: \"optimizer\" (1 tensors)") != std::string::npos);

  check_refusal(file_of(six(kMatrix)), "ERR_TORCH_STATE", "something else than a dictionary");
  check_refusal(file_of(dict({{"a", whole(1)}})), "ERR_TORCH_STATE", "no tensor");
  check_refusal(file_of(dict({{"w", six(kMatrix)}, {"w", six(kMatrix)}})), "ERR_TORCH_STATE", "two tensors");
  check_refusal(file_of(dict({{"\xff", six(kMatrix)}})), "ERR_TORCH_STATE", "not text");
  // A dictionary in itself, and 25 pairs each of which holds the one before twice.
  check_refusal(file_of("}q" + std::string(1, '\0') + text("a") + "h" + std::string(1, '\0') + "s"),
                "ERR_TORCH_STATE", "nest deeper");
  for (const std::string& leaf : {std::string("}"), model}) {
    std::string pairs = leaf;
    for (int i = 0; i < 25; i++) pairs += "2\x86";
    check_refusal(file_of("}" + text("a") + pairs + "s"), "ERR_TORCH_STATE",
                  leaf == model ? "too many tensors" : "too often");
  }
}

// Small files that would take a walk of hours, or gigabytes of names.
TEST("torch file: what a walk visits and names is bounded") {
  const std::string put(1, '\0'), many(20'000, 'N');
  // A list of numbers or so, again and again.
  const std::string list = "](" + many + "eq" + put, again = "h" + put;
  std::string shared = list, keyed, noted;
  for (int i = 0; i < 20'000; i++) shared += again;
  check_refusal(file_of("}" + text("a") + "](" + shared + "es"), "ERR_TORCH_STATE", "too often");

  // A long key, again and again, of what holds no tensor: it need not even be copied.
  const std::string key = text(std::string(1 << 20, 'k')) + "q" + put, dictionary = "}q\x01";
  for (int i = 0; i < 20'000; i++) keyed += (i ? again : key) + (i ? "h\x01" : dictionary);
  const std::clock_t began = std::clock();
  check_refusal(file_of("}(" + keyed + "u"), "ERR_TORCH_STATE", "no tensor");
  CHECK(std::clock() - began < CLOCKS_PER_SEC);

  // The same of what does, beside the model: it would be named in a note each.
  const std::string model = dict({{"w", six(kMatrix)}});
  for (int i = 0; i < 1000; i++) noted += (i ? again : key) + (i ? "h\x01" : model + "q\x01");
  check_refusal(file_of("}(" + text("model") + model + noted + "u"), "ERR_TORCH_STATE", "256 MiB");
}

TEST("torch file: reading stops when it is cancelled") {
  const int32_t raised = 1;
  MemorySource source(file_of(dict({{"w", six(kMatrix)}})));
  std::string code = "none";
  try {
    read_torch_file(source, &raised);
  } catch (const Error& error) {
    code = error.code();
  }
  CHECK_EQ(code, "ERR_ABORTED");
}

TEST("torch file: names that are not on the list are refused by name") {
  for (const char* name :
       {"os.system", "builtins.eval", "torch.load", "torch._utils._rebuild_sparse_tensor"}) {
    const std::string full = name, module = full.substr(0, full.rfind('.'));
    const std::string called =
        global(module, full.substr(full.rfind('.') + 1)) + text("touch /tmp/x") + "\x85R";
    check_refusal(file_of(dict({{"w", six(kMatrix)}, {"x", called}})), "ERR_PICKLE_GLOBAL", full);
  }
  const std::string stacked = text("posix") + text("system") + "\x93" + text("id") + "\x85R";
  check_refusal(file_of(stacked), "ERR_PICKLE_GLOBAL", "posix.system");
  check_refusal(file_of(text("f") + text("x") + "\x85R"), "ERR_PICKLE", "something else than a global");
  check_refusal(file_of(global("torch", "float32") + ")R"), "ERR_PICKLE", "is called");
  check_refusal(file_of("(" + text("module") + text("a") + "tQ"), "ERR_PICKLE", "persistent id");
}

TEST("torch file: damaged pickles") {
  const struct {
    std::string body;
    const char* part;
  } rows[] = {
      {"", "stack is empty"},
      {"0", "stack is empty"},
      {"NN", "more than one value"},
      {"(", "stack is empty"},
      {"t", "a mark is missing"},
      {"Ns", "stack is empty"},
      {"NNNs", "what does not take them"},
      {"](N\x85u", "what does not take them"},
      {"h\x07", "memo entry 7 does not exist"},
      {std::string("Nr\xff\xff\xff\x7f", 6), "leaves a gap"},
      {"X\xff\xff\xff\xffz", "cut off"},
      {std::string("\x8d") + std::string(7, '\xff') + "\x7f", "cut off"},
      {"ccollections", "cut off"},
      {"I1\n", "not used by torch.save"},
      {"\x82\x01", "not used by torch.save"},
      {"N.N", "bytes follow"},
      {"\x80\x09", "protocol 9"},
  };
  for (const auto& row : rows) check_refusal(file_of(row.body), "ERR_PICKLE", row.part);
  check_refusal(file_of(std::string((1 << 20) + 1, '(')), "ERR_PICKLE", "stack exceeds");
  std::string deep(1 << 19, ']');
  deep += std::string((1 << 19) - 1, 'a');
  check_refusal(file_of(deep), "ERR_TORCH_STATE", "something else");
}

TEST("torch file: tensors that cannot be read as they lie") {
  const auto refuse = [](const View& view, const char* part) {
    check_refusal(file_of(dict({{"w", six(view)}})), "ERR_TORCH_TENSOR", part);
  };
  refuse({{3, 2}, {1, 3}},
         "\"w\": its elements do not lie in the order of its shape [3, 2] (strides [1, 3])");
  refuse({{3, 2}, {1, 3}}, ".contiguous()");
  refuse({{6}, {0}}, "strides");
  refuse({{7}, {1}}, "beyond its storage");
  refuse({{6}, {1}, 1}, "beyond its storage");
  refuse({{1 << 30, 1 << 30, 1 << 30}, {0, 0, 0}}, "overflows");
  check_refusal(file_of(dict({{"w", tensor("FloatStorage", "1", 6, kMatrix)}})), "ERR_TORCH_TENSOR",
                "data/1");
  check_refusal(file_of(dict({{"w", tensor("FloatStorage", "../data.pkl", 6, kMatrix)}})), "ERR_TORCH_TENSOR",
                "not in the file");
  check_refusal(file_of(dict({{"w", tensor("HalfStorage", "0", 6, kMatrix)}})), "ERR_TORCH_TENSOR",
                "has 24 bytes; the pickle says 12");
  check_refusal(file_of(dict({{"w", six({{-1}, {1}})}})), "ERR_PICKLE", "not a whole number");
  check_refusal(file_of(dict({{"w", six({{6}, {}})}})), "ERR_PICKLE", "strides");
}

#ifdef __GLIBCXX__
namespace {

// A name of 16 bytes for each number, all of one hash under std::hash of libstdc++ (MurmurHash64A, whose
// steps can be undone).
std::string colliding_name(uint64_t number) {
  constexpr uint64_t kMul = 0xc6a4a7935bd1e995u, kSeed = 0xc70f6907u, kTarget = 0x1234567890abcdefu;
  uint64_t inverse = kMul;
  for (int i = 0; i < 6; i++) inverse *= 2 - kMul * inverse;
  const auto shifted = [](uint64_t v) { return v ^ v >> 47; };  // its own inverse
  const uint64_t first = number * 0x9e3779b97f4a7c15u;
  const uint64_t state = ((kSeed ^ 16 * kMul) ^ shifted(first * kMul) * kMul) * kMul;
  return little(first) + little(shifted((kTarget ^ state) * inverse) * inverse);
}

}  // namespace

TEST("torch file: names that collide in an unkeyed hash cost no more than others") {
  std::string names[2];
  for (uint64_t i = 0; i < 2; i++) names[i] = colliding_name(i + 1);
  CHECK_EQ(std::hash<std::string_view>()(names[0]), std::hash<std::string_view>()(names[1]));
  ZipWriter zip({true});
  zip.add("m/data.pkl", pickle(dict({{"w", six(kMatrix)}})));
  zip.add("m/data/0", kSix[0].second);
  zip.add("m/version", "3\n");
  for (uint64_t i = 1; i < 60'000; i++) {
    const std::string name = colliding_name(i);
    if (name.find('\0') == std::string::npos) zip.add("m/" + name, "");
  }
  const std::string bytes = zip.finish();
  const std::clock_t began = std::clock();
  CHECK_EQ(open(bytes).header.size(), 1u);
  CHECK(std::clock() - began < CLOCKS_PER_SEC);
}
#endif

TEST("torch file: archives that are not torch.save's") {
  const std::string root = pickle(dict({{"w", six(kMatrix)}}));
  const std::string good = torch_file(root, kSix);
  CHECK_EQ(refusal(good), "accepted");
  for (size_t bytes = 0; bytes < good.size(); bytes++) {
    const std::string found = refusal(good.substr(0, bytes));
    if (!found.starts_with("ERR_TORCH_FILE")) test::fail(__FILE__, __LINE__, found);
  }
  check_refusal(good + "x", "ERR_TORCH_FILE", "cut off");
  check_refusal(torch_file(root, kSix, {.method = 8}), "ERR_TORCH_FILE", "compressed (method 8)");
  check_refusal(torch_file(root, kSix, {.flags = 1}), "ERR_TORCH_FILE", "encrypted");
  const std::string legacy("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.", 21);
  check_refusal(legacy, "ERR_TORCH_FILE", "before 1.6");
  check_refusal("version https://git-lfs.github.com/spec/v1\n", "ERR_TORCH_FILE", "git lfs pull");
  check_refusal(std::string(257, 'x') + "ustar" + std::string(300, 'x'), "ERR_TORCH_FILE", "tar");
  check_refusal("not a model", "ERR_TORCH_FILE", "not a checkpoint of torch.save");

  const auto with = [&](auto change) {
    ZipWriter zip;
    const size_t pickle_at = zip.add("m/data.pkl", root);
    zip.add("m/data/0", std::string(24, 'a'));
    change(zip, pickle_at);
    return zip.finish();
  };
  const auto add = [&](const std::string& name, const std::string& data) {
    return with([&](ZipWriter& zip, size_t) { zip.add(name, data); });
  };
  CHECK_EQ(refusal(add("m/version", "3\n")), "accepted");
  check_refusal(add("m/version", "77"), "ERR_TORCH_FILE", "version is \"77\"");
  check_refusal(with([](ZipWriter&, size_t) {}), "ERR_TORCH_FILE", "version is \"\"");
  check_refusal(add("m/byteorder", "big"), "ERR_TORCH_FILE", "byte order \"big\"");
  check_refusal(add("m/constants.pkl", ""), "ERR_TORCH_FILE", "TorchScript");
  check_refusal(add("../evil", ""), "ERR_TORCH_FILE", "outside the one directory");
  check_refusal(add("m/data/0", ""), "ERR_TORCH_FILE", "two entries are named");
  check_refusal(add(std::string("m/\0x", 4), ""), "ERR_TORCH_FILE", "NUL");
  const auto entry = [&](uint64_t bytes, uint64_t at) {
    return with([&](ZipWriter& zip, size_t) { zip.central("m/data.pkl2", bytes, at); });
  };
  check_refusal(entry(10, 0), "ERR_TORCH_FILE", "described differently");
  check_refusal(entry(1 << 30, 0), "ERR_TORCH_FILE", "outside the file");
  check_refusal(entry(0, 1 << 30), "ERR_TORCH_FILE", "outside the file");
  check_refusal(entry(0, 1), "ERR_TORCH_FILE", "not where the table of contents says");
  // An entry whose bytes hold another entry.
  ZipWriter inner, outer;
  inner.add("m/inside", "xx");
  const size_t at = outer.add("m/data.pkl", inner.bytes + root);
  outer.central("m/inside", 2, at);
  check_refusal(outer.finish(), "ERR_TORCH_FILE", "overlap");
}

}  // namespace
}  // namespace wisemerge
