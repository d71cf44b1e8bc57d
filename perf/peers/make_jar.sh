#!/bin/sh
# make_jar.sh JAVAC JAR LIBRARY SOURCE JAR-FILE DIRECTORY: compiles one class and packs it.
set -eu
mkdir -p "$6"
"$1" -cp "$3" -d "$6" "$4"
"$2" --create --file "$5" -C "$6" .
