//===- NcclValues.cpp - names of NCCL -------------------------------------===//
//
// Part of Weir, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ApiValues.h"

#include <nccl.h>
#include <typeinfo>

#define VALUE(entry) ApiValue(#entry, std::to_string(long(entry)))
#define SIZE(type) ApiValue("sizeof " #type, std::to_string(sizeof(type)))
// Mangled, so that the types of parameters and results count.
#define FUNCTION(entry) ApiValue(#entry, typeid(decltype(&entry)).name())

ApiValues WEIR_API::ncclValues() {
  return {
      VALUE(ncclSuccess),
      VALUE(ncclUnhandledCudaError),
      VALUE(ncclSystemError),
      VALUE(ncclInternalError),
      VALUE(ncclInvalidArgument),
      VALUE(ncclInvalidUsage),
      VALUE(ncclRemoteError),
      VALUE(ncclInProgress),
      VALUE(ncclNumResults),
      VALUE(ncclInt8),
      VALUE(ncclUint8),
      VALUE(ncclInt32),
      VALUE(ncclUint32),
      VALUE(ncclInt64),
      VALUE(ncclUint64),
      VALUE(ncclFloat16),
      VALUE(ncclFloat32),
      VALUE(ncclFloat64),
      VALUE(ncclBfloat16),
      VALUE(NCCL_MAJOR),
      VALUE(NCCL_MINOR),
      VALUE(NCCL_PATCH),
      VALUE(NCCL_VERSION_CODE),
      VALUE(NCCL_UNIQUE_ID_BYTES),
      VALUE(NCCL_CONFIG_UNDEF_INT),
      VALUE(NCCL_CONFIG_UNDEF_PTR),
      VALUE(NCCL_SPLIT_NOCOLOR),
      VALUE(NCCL_COMM_NULL),
      SIZE(ncclUniqueId),
      SIZE(ncclConfig_t),
      FUNCTION(ncclGetVersion),
      FUNCTION(ncclGetUniqueId),
      FUNCTION(ncclGetErrorString),
      FUNCTION(ncclGetLastError),
      FUNCTION(ncclCommInitRankConfig),
      FUNCTION(ncclCommSplit),
      FUNCTION(ncclCommGetAsyncError),
      FUNCTION(ncclCommFinalize),
      FUNCTION(ncclCommDestroy),
      FUNCTION(ncclCommAbort),
      FUNCTION(ncclGroupStart),
      FUNCTION(ncclGroupEnd),
      FUNCTION(ncclSend),
      FUNCTION(ncclRecv),
  };
}
