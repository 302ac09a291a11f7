#!/bin/sh
# built.sh: builds every program that the tests need and Debian has not, one after the other, as built.py has it.
# What cannot be had is told by the tests that need it.
lab=$(cd "$(dirname "$0")" && pwd)
"$lab/collector.sh"
for tool in promtool pint actionlint kubeconform helm helm-unittest; do
    "$lab/go-tool.sh" "$tool"
done
