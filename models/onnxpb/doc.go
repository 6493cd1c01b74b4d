// Package onnxpb holds the Go types of ONNX's protocol buffers, generated from
// onnx-ml.proto of the onnx project, release 1.23.2
// (https://github.com/onnx/onnx/blob/v1.23.2/onnx/onnx-ml.proto), which is
// copied here unchanged. That file is "Copyright (c) ONNX Project
// Contributors" under the Apache License 2.0 (SPDX: Apache-2.0), and so is
// what is generated from it.
//
// Generated once and committed; to repeat it, with protoc 35.1 (Python's
// grpcio-tools carries one: python3 -m grpc_tools.protoc) and
// protoc-gen-go v1.36.12 on the PATH:
//
//	go generate ./models/onnxpb
package onnxpb

//go:generate protoc --proto_path=. --go_out=. --go_opt=paths=source_relative --go_opt=Monnx-ml.proto=github.com/millrace/millrace/models/onnxpb onnx-ml.proto
