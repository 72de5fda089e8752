# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

# The googletest programs of unittests/, every case a test of its own.

import os

import lit.formats

config.name = "Weir-Unit"
config.suffixes = []
config.test_source_root = os.path.join(config.weir_obj_root, "bin")
config.test_exec_root = config.test_source_root
config.test_format = lit.formats.GoogleTest(".", "Tests")
