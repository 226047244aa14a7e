#!/bin/sh
test "$(./hello-autotools Rekindle)" = "Hello, Rekindle, from hello-autotools 1.0."
