#!/usr/bin/env python3
# Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Stands for mpirun, torchrun or srun, by the name that it is called by: starts so many
processes on this machine with the variables that these set."""

import os
import subprocess
import sys

words = sys.argv[1:]
name = os.path.basename(sys.argv[0])
count = 0
while words and words[0].startswith("-"):
    word = words.pop(0)
    if word == "-n":
        count = int(words.pop(0))
    elif word.startswith("--nproc-per-node="):
        count = int(word.split("=")[1])
    elif word != "--no-python":
        sys.exit(f"{name}: unknown option {word}")
variables = {
    "mpirun": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK",
               "OMPI_COMM_WORLD_LOCAL_SIZE"),
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    "srun": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", None),
}[name]
fixed = {"SLURM_STEP_NUM_NODES": "1"} if name == "srun" else {}
children = []
for rank in range(count):
    values = (rank, count, rank, count)
    environment = dict(os.environ, **fixed)
    environment.update({v: str(n) for v, n in zip(variables, values) if v})
    children.append(subprocess.Popen(words, env=environment))
codes = [child.wait() for child in children]
sys.exit(max(codes, default=1, key=abs))
