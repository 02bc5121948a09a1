#!/bin/sh
# SPDX-License-Identifier: MIT
#
# loader_cost.sh NOTRAP COST COST_STATIC: what a loader pays under notrap, compared with the kernel where that is possible, in
# turns and each at its best.
#
#   dynamic loaders    no more than the kernel takes for the same map operation
#   static loaders     no more than 30 times that: two processes change places for each call, and in a sandbox whose keeper
#                      looks at them, too (some 15 times on the machine of docs/benchmarks.md)
#   notrap run true    under 10 ms, the broker running
set -u
. "$(dirname "$0")/../lib/tap.sh"
notrap=$1 cost=$2 cost_static=$3
broker_own "$notrap"
trap 'broker_end $?; kill $keeper 2>/dev/null' EXIT
"$notrap" run sleep 60 & # the broker stays
keeper=$!
for round in 1 2 3; do
	[ "$(id -u)" -ne 0 ] || "$cost" 2>/dev/null | sed 's/^/kernel /'
	"$notrap" run -- "$cost" | sed 's/^/dynamic /'
	"$notrap" run -- "$cost_static" | sed 's/^/static /'
	"$cost" start "$notrap" run -- true | sed 's/^/run /'
	"$cost" start true | sed 's/^/bare /'
done >"$NOTRAP_DIR/figures"
awk '
	function say(ok, text) { bad += !ok; printf "%s %d - %s\n", ok ? "ok" : "not ok", ++n, text }
	!(($1, $2) in best) || $3 < best[$1, $2] { best[$1, $2] = $3 }
	$1 == "dynamic" && !seen[$2]++ { name[++names] = $2 }
	END {
		for (i = 1; i <= names; i++) {
			k = best["kernel", name[i]]; d = best["dynamic", name[i]]; s = best["static", name[i]]
			if (!k) { printf "ok %d - %s # SKIP the kernel cannot be asked here\n", ++n, name[i]; continue }
			say(d <= k, sprintf("%s: %d ns in a dynamic loader, %d in the kernel", name[i], d, k))
			say(s && s <= 30 * k, sprintf("%s: %d ns in a static loader, %d in the kernel", name[i], s, k))
		}
		say(names == 6, "every operation was measured")
		r = best["run", "start"]
		say(r && r < 1e7, sprintf("notrap run true: %.2f ms, true alone: %.2f", r / 1e6, best["bare", "start"] / 1e6))
		printf "1..%d\n", n
		exit bad > 0
	}' "$NOTRAP_DIR/figures"
