#!/bin/sh
# make/clone.py, with the Python that make was given; or a sentence about what that one lacks. Where there is no make,
# `sh make/clone.sh run local` is `make run`.
PYTHON=${PYTHON:-python3}
export PYTHONUTF8=1
unset CDPATH
cd "$(dirname "$0")/.." || exit
needed='Python 3.11 or newer is needed'
another='install one, or name it: make PYTHON=python3.x ...'
if ! command -v "$PYTHON" >/dev/null; then
	echo "$needed, and there is no $PYTHON: $another" >&2
	exit 1
fi
if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
	echo "$needed, and $PYTHON is $("$PYTHON" --version 2>&1 | head -n 1): $another" >&2
	exit 1
fi
exec "$PYTHON" make/clone.py "$@"
