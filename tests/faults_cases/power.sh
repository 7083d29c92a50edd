#!/bin/bash
# power.sh PROGRAM PROJECT SUMS CUT ROUNDS SEED: builds `app` on a filesystem that a power cut ends.
# Runs in a mount namespace of its own. Nothing is synchronised here: what must survive, the builder has to take care of.
# Prints FAILED lines, and one line for each round.
set -uo pipefail
program=$1 project=$2 sums=$3 cut=$4 rounds=$5
RANDOM=$6
disk=$project/power image=$project/power.img
mkdir -p "$disk"
build() { timeout 120 "$program" -C "$disk/project" --cache "$disk/cache" --out "$disk/out" --progress none "$@" 2>"$project/said"; }
attach() { mount -o loop "$image" "$disk" || { echo "FAILED mounting again"; exit 1; }; }
detach() {
    for _ in {1..100}; do
        umount "$disk" 2>/dev/null && return
        sleep 0.05
    done
    echo "FAILED taking the disk away"
    exit 1
}

for kind in ext4 xfs; do
    command -v "mkfs.$kind" >/dev/null || continue
    rm -f "$image"
    truncate -s 700M "$image"
    "mkfs.$kind" -q "$image" || { echo "FAILED making $kind"; continue; }
    attach
    mkdir "$disk/project"
    cp -r "$project/recipes" "$project/roles" "$disk/project/"
    sync -f "$disk"
    build role other >/dev/null || echo "FAILED preparing: $(cat "$project/said")"
    build lock >/dev/null || echo "FAILED locking: $(cat "$project/said")"
    lock=$(cat "$disk/project/imgbuild.lock")
    older=$(cat "$disk/out/images/other/latest/SHA256SUMS")
    for ((round = 0; round < rounds; round++)); do
        if [ "$round" = 0 ]; then
            moment=0.00
        else
            [ $((round % 3)) = 0 ] || rm -rf "$disk/cache/bases" "$disk/cache/tools"
            [ $((round % 2)) = 0 ] || rm -rf "$disk/cache/packages"
            rm -rf "$disk/out/images/app"
            moment=$(printf '%d.%02d' $((RANDOM % 2)) $((RANDOM % 100)))
        fi
        build role app >/dev/null &
        builder=$!
        sleep "$moment"
        echo unsynchronised >"$disk/control"
        "$cut" "$disk" || echo "FAILED cutting"
        wait $builder
        detach
        attach
        [ ! -s "$disk/control" ] || echo "FAILED $kind, round $round: the cut takes nothing away, so it shows nothing"
        # It was another boot of the machine that marked what was not on the disk yet.
        for mark in "$disk"/cache/{bases,tools}/*/unsettled; do
            [ ! -e "$mark" ] || echo "an earlier boot" >"$mark"
        done
        (cd "$disk/out/images/other/latest" && sha256sum --quiet -c SHA256SUMS && [ "$(cat SHA256SUMS)" = "$older" ]) ||
            echo "FAILED $kind, round $round after $moment s: an older result is harmed"
        [ "$(cat "$disk/project/imgbuild.lock")" = "$lock" ] || echo "FAILED $kind, round $round after $moment s: the lock is harmed"
        if [ -e "$disk/out/images/app/latest" ]; then
            (cd "$disk/out/images/app/latest" && sha256sum --quiet -c SHA256SUMS) ||
                echo "FAILED $kind, round $round after $moment s: there is half a result"
        fi
        build role app --locked >/dev/null || echo "FAILED $kind, round $round after $moment s: the next build: $(cat "$project/said")"
        warned=$(grep -c '^warning' "$project/said")
        [ "$(cat "$disk/out/images/app/latest/SHA256SUMS")" = "$sums" ] || echo "FAILED $kind, round $round after $moment s: other bytes"
        (cd "$disk/out/images/app/latest" && sha256sum --quiet -c SHA256SUMS) || echo "FAILED $kind, round $round: a damaged result"
        echo "ROUND $kind $round after $moment s, $warned warnings"
        cat "$project/said"
    done
    detach
done
rm -f "$image"
