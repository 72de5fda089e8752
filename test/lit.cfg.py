# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

import os
import shutil
import subprocess

import lit.formats
from lit.llvm import llvm_config

config.name = "Weir"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Inputs", "oracle", "Unit"]
config.test_source_root = os.path.join(config.weir_src_root, "test")
config.test_exec_root = os.path.join(config.weir_obj_root, "test")

# Tests that run one command in many ways define it once: DEFINE and REDEFINE.
config.recursiveExpansionLimit = 5

# One thread per rank is part of what makes runs comparable; a test that wants
# more says so with --threads.
config.environment["OMP_NUM_THREADS"] = "1"
# The oracle computes on the host, whatever else the machine has.
config.environment["JAX_PLATFORMS"] = "cpu"

tools_dir = os.path.join(config.weir_obj_root, "bin")
llvm_config.with_environment("PATH", config.llvm_tools_dir, append_path=True)
llvm_config.with_environment("PATH", tools_dir, append_path=True)

# Quoted, because the path of a checkout may hold anything.
config.substitutions.append(("%python", f"'{config.weir_python}'"))
config.substitutions.append(
    ("%oracle", "'" + os.path.join(config.test_source_root, "integration", "oracle") + "'")
)
# A text that every checkout has: ASCII, long enough for what tests draw from it.
config.substitutions.append(
    ("%text", "'" + os.path.join(config.weir_src_root, "LICENSE") + "'")
)
config.substitutions.append(("%mlir_include", f"'{config.mlir_include_dir}'"))
config.substitutions.append(("%clang", f"'{config.llvm_tools_dir}/clang'"))
config.substitutions.append(
    ("%cmake_configure", " ".join(f"'{word}'" for word in [config.cmake, *config.cmake_options]))
)
config.substitutions.append(("%cmake", f"'{config.cmake}'"))
config.substitutions.append(("%weir_obj_root", f"'{config.weir_obj_root}'"))
config.substitutions.append(("%weir_bin", f"'{tools_dir}'"))
config.substitutions.append(("%weir_src_root", f"'{config.weir_src_root}'"))

llvm_config.add_tool_substitutions(
    ["FileCheck", "not", "split-file", "count", "mlir-tblgen", "llvm-nm"], [config.llvm_tools_dir]
)
weir_tools = [
    "weir-opt", "weir-lsp-server", "weir-model", "weir-reduce", "weirc", "weir-run", "weir-schedule",
    "weir-random-models", "WeirIRFuzzer",
]
built = [tool for tool in weir_tools if os.access(os.path.join(tools_dir, tool), os.X_OK)]
llvm_config.add_tool_substitutions(built, [tools_dir])
for tool in built:
    config.available_features.add(tool)


def python_has(*modules):
    """Whether the configured interpreter finds all of `modules`."""
    find = "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))"
    return bool(config.weir_python) and (
        subprocess.run([config.weir_python, "-c", find, *modules]).returncode == 0
    )


if python_has("jax", "numpy", "safetensors"):
    config.available_features.add("jax")

if python_has("jsonschema"):
    config.available_features.add("jsonschema")

# A CUDA toolkit, which needs no GPU: its assembler and its functions of math.
toolkit = os.environ.get("CUDA_HOME", "/usr/local/cuda")
ptxas = os.path.join(toolkit, "bin", "ptxas")
if os.access(ptxas, os.X_OK) and os.path.exists(
    os.path.join(toolkit, "nvvm", "libdevice", "libdevice.10.bc")
):
    config.available_features.add("ptxas")
    config.substitutions.append(("%ptxas", f"'{ptxas}'"))
    config.environment["CUDA_HOME"] = toolkit

# Features with a machine behind them.
if shutil.which("nvidia-smi"):
    config.available_features.add("cuda")
