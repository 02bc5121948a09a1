#!/bin/sh
# SPDX-License-Identifier: MIT
#
# demo.sh [BUILD_FOLDER] - the main job on real input, in about half a minute.
#
# Debian's own sort, with two threads, sorts what dpkg knows about this machine. While it is busy, every
# function of its libc is probed by one uprobe_multi link, for a few seconds: through notrap, and where
# the kernel allows it through the kernel, by the same binary. Each time sort must finish undisturbed:
# what it writes is compared with a run that nobody probed.
set -u
cd "$(dirname "$0")/.." || exit 99
build=$(cd "${1:-build}" && pwd) || exit 99
funccount=$build/examples/funccount
seconds=3	# each link stays this long
megabytes=64	# of input; sort gets it several times over, until it is busy for long enough
top=16		# rows of the table

tmp=$(mktemp -d "${TMPDIR:-/tmp}/notrap-demo.XXXXXX") || exit 99
sort_pid=
# A broker of its own, so that nothing else that goes on with notrap here is disturbed or disturbs.
export NOTRAP_DIR="$tmp/run"
clean_up() {
	"$build/notrap" stop >/dev/null 2>&1
	[ -z "$sort_pid" ] || kill "$sort_pid" 2>/dev/null
	rm -rf "$tmp"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

bold= plain=
if [ -t 1 ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
fi
say() { printf '%s\n' "$*"; }
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
now() { date +%s.%N; }
since() { echo "$(now) $1" | awk '{ printf "%.1f", $1 - $2 }'; }

[ -x "$funccount" ] || {
	say "demo: there is no $funccount; run make first" >&2
	exit 1
}

make_input() {
	while [ "$(wc -c <"$tmp/input")" -lt $((megabytes << 20)) ]; do
		cat /var/lib/dpkg/info/*.list /var/lib/dpkg/info/*.md5sums /var/lib/dpkg/status
	done >>"$tmp/input"
}

# Begins to sort $inputs in the background; exec makes $! the process itself.
start_sort() {
	started=$(now)
	# shellcheck disable=SC2086 # a list of words without blanks
	(exec env LC_ALL=C.UTF-8 sort -f --parallel=2 -S 24M -T "$tmp" -o "$tmp/output" $inputs) &
	sort_pid=$!
}

# Waits for sort: its exit status; took = seconds, sum = checksum of what it wrote.
finish_sort() {
	wait "$sort_pid"
	status=$?
	sort_pid=
	took=$(since "$started")
	sum=$(sha256sum <"$tmp/output" 2>/dev/null)
	return $status
}

check_sort() {
	if finish_sort && [ "$sum" = "$expected" ]; then
		say "sort went on and finished in $took s; what it wrote is what the unprobed run wrote."
	else
		say "demo: SORT WAS DISTURBED: exit status $status, output $sum" >&2
		exit 1
	fi
}

# Sorts with all functions of its libc probed for a while. $1 names the result, the rest runs funccount.
probe_sort() {
	name=$1
	shift
	start_sort
	sleep 1
	say "\$ $* -p $sort_pid -d $seconds --cost 'libc.so.6:*'" | sed "s|$PWD/||g"
	"$@" -p "$sort_pid" -d "$seconds" --cost 'libc.so.6:*' >"$tmp/$name" 2>"$tmp/$name.errors"
	ended=$?
	sed -n '1,2{/./s/^/   /p}' "$tmp/$name"
	if [ $ended -ne 0 ] || ! grep -q 'never ran\.$' "$tmp/$name"; then
		kill "$sort_pid" 2>/dev/null
		finish_sort
		return 1
	fi
	check_sort
	echo "$took" >"$tmp/$name.took"
}

why_no_kernel() {
	release=$(uname -r)
	if [ "$(id -u)" -ne 0 ]; then
		echo "BPF programs of the kernel need root"
	elif [ "$(printf '%s\n6.6\n' "$release" | sort -V | head -n 1)" != 6.6 ]; then
		echo "uprobe_multi needs Linux 6.6, this is $release"
	fi
}

# Both tables as one: rows in the order of the first, then what only the second has; a summary.
show_tables() {
	awk -v top="$top" '
		FNR == 1 { run++ }
		/^Counting calls of/ { probed[run] = $4; attach[run] = $(NF - 1) " ms" }
		/ calls of .* never ran\.$/ { total[run] = $1; ran[run] = $4; rate[run] = $1 / $7 }
		/^A hit costs/ { cost[run] = $4 " ns" }
		$1 ~ /^[0-9]+$/ && $2 ~ /^[0-9]+$/ && NF == 4 {
			if (!($4 in seen)) { seen[$4] = 1; name[++n] = $4 }
			calls[run, $4] = $1; persec[run, $4] = $2
		}
		function row(label, a, b) {
			printf "  %-34s %16s", label, a == "" ? "-" : a
			if (run > 1) printf " %16s", b == "" ? "-" : b
			printf "\n"
		}
		END {
			printf "  %-34s %16s", "calls per second", "notrap"
			if (run > 1) printf " %16s", "kernel"
			printf "\n"
			for (i = 1; i <= n && i <= top; i++)
				row(name[i], persec[1, name[i]], persec[2, name[i]])
			if (n > top) print "  ... and " n - top " functions more"
			print ""
			row("functions probed by one link", probed[1], probed[2])
			row("attached in", attach[1], attach[2])
			row("functions that ran", ran[1], ran[2])
			row("calls counted", total[1], total[2])
			row("calls per second", sprintf("%.0f", rate[1]), run > 1 ? sprintf("%.0f", rate[2]) : "")
			row("a hit costs", cost[1], cost[2])
		}' "$@"
}

title "sort, nobody watching"
make_input
inputs=$tmp/input
times=1
while :; do
	start_sort
	finish_sort || {
		say "demo: sort itself fails here (status $status)" >&2
		exit 1
	}
	[ $times -eq 1 ] || break
	times=$(echo "$took $seconds" | awk '{ n = int(($2 + 5) / $1 + 1); print n < 8 ? n : 8 }')
	[ "$times" -gt 1 ] || break
	inputs=$(yes "$tmp/input" | head -n "$times")
done
say "$(cat $inputs | wc -l) lines of dpkg's file lists, $((times * megabytes)) MB, two threads"
expected=$sum
unprobed=$took
say "finished in $took s"

title "The same, every function of its libc probed by one link, through notrap"
probe_sort notrap "$build/notrap" run -- "$funccount" || {
	sed 's/^/   /' "$tmp/notrap.errors" >&2
	exit 1
}

title "The same through the kernel's uprobes, by the same binary"
reason=$(why_no_kernel)
if [ -n "$reason" ]; then
	say "left out: $reason"
elif ! probe_sort kernel "$funccount"; then
	say "left out: $(head -n 1 "$tmp/kernel.errors")"
	rm -f "$tmp/kernel"
fi

title "What ran in those $seconds seconds"
if [ -f "$tmp/kernel" ]; then
	show_tables "$tmp/notrap" "$tmp/kernel"
	printf '  %-34s %16s %16s\n' "sort took ($unprobed s unprobed)" "$(cat "$tmp/notrap.took") s" \
		"$(cat "$tmp/kernel.took") s"
else
	show_tables "$tmp/notrap"
	printf '  %-34s %16s\n' "sort took ($unprobed s unprobed)" "$(cat "$tmp/notrap.took") s"
fi
