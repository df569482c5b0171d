#!/usr/bin/env bash
# Regenerate the stubs beside transcription.proto. Needs the grpcio-tools named in pyproject's `stubs` extra.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# The virtual path makes protoc write imports that are right from the start.
python -m grpc_tools.protoc -I talkmill/proto=proto \
  --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" talkmill/proto/transcription.proto
cp "$out"/talkmill/proto/* proto/
