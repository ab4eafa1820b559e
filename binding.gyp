# The addon and its CPU backend, wherever Node and a C++20 compiler are. CUDA, sanitizers and benchmarks are
# CMakeLists.txt's. Both read their file lists from native/sources.json.
{
  "includes": ["native/sources.json"],
  "variables": {"build_tests%": 0},
  "target_defaults": {
    "include_dirs": ["native/include", "native"],
    "defines": ["WISEMERGE_VERSION=\"<!(node -p \"require('./package.json').version\")\""],
    # Node's own flags ask for an older standard and for no exceptions.
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-exceptions", "-fno-rtti"],
    "cflags!": ["-fno-exceptions"],
    # Contraction off: a*b+c must round twice here as it does on every other device. Nobody reads errno or the
    # exception flags of arithmetic, and keeping them right keeps loops out of SIMD code; values are the same.
    "cflags_cc": [
      "-std=c++20", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
      # Vectors wider than the baseline's registers stay inside one file: how they would be passed is no concern.
      "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-psabi"
    ],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "CLANG_CXX_LIBRARY": "libc++",
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_ENABLE_CPP_RTTI": "YES",
      "GCC_SYMBOLS_PRIVATE_EXTERN": "YES",
      "GCC_OPTIMIZATION_LEVEL": "3",
      "MACOSX_DEPLOYMENT_TARGET": "12.0",
      "OTHER_CPLUSPLUSFLAGS": [
        "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-Wall", "-Wextra"
      ]
    }
  },
  "targets": [
    {
      # Shared by the addon and the tests: what is tested is what ships.
      "target_name": "wisemerge_core",
      "type": "static_library",
      "sources": ["<@(core_sources)", "<@(cpu_sources)", "<@(network_sources)", "<@(train_sources)", "<@(merge_sources)"],
      "cflags": ["-fPIC"]
    },
    {
      "target_name": "wisemerge",
      "sources": ["<@(addon_sources)"],
      "dependencies": ["wisemerge_core", "<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except_all"],
      "defines": [
        "NAPI_VERSION=9",
        # Without it, ending a Worker that has a job running aborts the whole process.
        "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"
      ],
      "conditions": [
        ["OS=='linux'", {
          # nodelete: a library loaded only by a Worker is otherwise unmapped with it, under running threads.
          "ldflags": [
            "-Wl,-z,nodelete",
            "-Wl,--exclude-libs,ALL",
            "-Wl,--version-script=<(module_root_dir)/native/exports.map"
          ],
          "libraries": ["-ldl", "-pthread"]
        }]
      ]
    }
  ],
  "conditions": [
    ["build_tests==1", {
      "targets": [
        {
          "target_name": "wisemerge_tests",
          "type": "executable",
          "sources": ["<@(test_sources)"],
          # Of the tests alone, which are compiled more often than they run: the core is what ships.
          "cflags_cc": ["-O1"],
          "xcode_settings": {"GCC_OPTIMIZATION_LEVEL": "1"},
          "dependencies": ["wisemerge_core"],
          "conditions": [["OS=='linux'", {"libraries": ["-ldl", "-pthread"]}]]
        }
      ]
    }]
  ]
}
