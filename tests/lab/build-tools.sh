#!/bin/sh
# build-tools.sh: builds every program that the tests need and that Debian lacks, in the order of collection_order.py.
# If a program cannot be built, the tests that need it report this.
lab=$(cd "$(dirname "$0")" && pwd)
"$lab/collector.sh"
for tool in promtool pint actionlint kubeconform helm helm-unittest; do
    "$lab/go-tool.sh" "$tool"
done
