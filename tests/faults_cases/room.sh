#!/bin/bash
# room.sh PROGRAM PROJECT SUMS: builds `app` where the disk of the cache, of the results, or of both is nearly full.
# Runs in a mount namespace of its own. Prints FAILED lines, and one line for each level.
set -uo pipefail
program=$1 project=$2 sums=$3
disk=$project/disk
mkdir -p "$disk"
mount -t tmpfs -o size=192m,mode=755 tmpfs "$disk" || { echo "FAILED mounting"; exit 1; }
build() { "$program" -C "$project" --cache "$cache" --out "$out" --progress none "$@" 2>"$project/said"; }
free() { df --output="$1" "$disk" | tail -n 1 | tr -d ' '; }

# level NAME: with the disk as it is now, the build succeeds or is refused; without, it succeeds.
level() {
    local status
    build role app >/dev/null
    status=$?
    if [ "$status" = 0 ]; then
        echo "LEVEL $1 built"
    elif [ "$status" = 1 ] && grep -q '^error: the build \(takes\|makes\) .* or more in ' "$project/said"; then
        echo "LEVEL $1 foreseen: $(head -n 1 "$project/said")"
    elif [ "$status" = 1 ] && grep -q '^hint: \(a disk is full\|the disk that holds the cache is full\)' "$project/said"; then
        echo "LEVEL $1 told: $(head -n 1 "$project/said")"
    else
        echo "FAILED $1 with status $status: $(cat "$project/said")"
    fi
    [ -z "$(ls -A "$cache/work" 2>/dev/null)" ] || echo "FAILED $1 left $(ls -A "$cache/work")"
    [ -z "$(find "$out" -name '.building-*')" ] || echo "FAILED $1 left $(find "$out" -name '.building-*')"
    (cd "$out/images/other/latest" && sha256sum --quiet -c SHA256SUMS) || echo "FAILED $1 harmed an older result"
    relieve
    build role app >/dev/null || echo "FAILED $1: the next build: $(cat "$project/said")"
    [ "$(cat "$out/images/app/latest/SHA256SUMS")" = "$sums" ] || echo "FAILED $1 gives other bytes"
    (cd "$out/images/app/latest" && sha256sum --quiet -c SHA256SUMS) || echo "FAILED $1 gives a damaged result"
}

# begin NAME: cache and results where they are to be, an older result there, and nothing else.
begin() {
    rm -rf "$disk"/* "$project/room"
    mkdir -p "$project/room"
    cache=$project/room/cache out=$project/room/out
    [ "$1" = out ] || cache=$disk/cache
    [ "$1" = cache ] || out=$disk/out
    build role other >/dev/null || echo "FAILED preparing $1: $(cat "$project/said")"
}

for case in cache:0 cache:14 cache:20 cache:26 cache:29 cache:31 cache:33 out:0 out:2 out:5 out:9 out:14 \
    both:0 both:20 both:36 both:39 both:40 both:41 both:48 both:90; do
    where=${case%:*} megabytes=${case#*:}
    [ "$where" = "${before-}" ] || begin "$where"
    before=$where
    rm -rf "$cache"/{bases,tools,packages} "$out/images/app"
    left=$((megabytes * 1048576))
    relieve() { rm -f "$disk/filler"; }
    fallocate -l $(($(free avail) * 1024 - left)) "$disk/filler"
    level "$where with $megabytes MiB"
done

for number in 20 120 700 2000; do
    begin both
    rm -rf "$cache"/{bases,tools,packages} "$out/images/app"
    mount -o "remount,nr_inodes=$(($(free iused) + number))" "$disk"
    relieve() { mount -o remount,nr_inodes=100000 "$disk"; }
    level "both with $number files"
done
umount "$disk"
