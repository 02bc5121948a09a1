#!/bin/sh
# SPDX-License-Identifier: MIT
#
# input.sh BUILD_FOLDER VICTIMS_FOLDER LOADER
#
# Bad input, and machines that are full: a clear text, an exit code, nothing hangs, the victim goes on.
set -u
. "$(dirname "$0")/../../lib/tap.sh"
build=$1 victims=$2
notrap=$build/notrap
funccount=$build/examples/funccount
broker_own "$notrap"
tmp=$(mktemp -d /tmp/notrap-input-XXXXXX) || exit 99
chmod 755 "$tmp"
# A file of its own, so that other tests' links for all processes do not concern it.
cp "$victims/counter" "$tmp/counter" || exit 99
counter=$tmp/counter
trap 'broker_end $?; exec 8>&-; rm -rf "$tmp"' EXIT

check() { # STATUS NAME
	tap_ok "$1" "$2" || sed 's/^/# /; 10q' "$tmp/out"
}

# Exit code and text (both streams) of a command that must not take long.
expect() { # CODE REGEX WHAT COMMAND...
	code=$1 regex=$2 what=$3
	shift 3
	# Through a pipe: the limit of file sizes is for notrap, not for us.
	{ timeout 20 "$@" 2>&1; echo $? >"$tmp/code"; } | cat >"$tmp/out"
	got=$(cat "$tmp/code")
	[ $got -eq "$code" ] && grep -qE "$regex" "$tmp/out"
	status=$?
	[ $status -eq 0 ] || echo "# exit code $got, want $code and /$regex/"
	check $status "$what"
}

# --- files ---

mkfifo "$tmp/in"
"$counter" <"$tmp/in" >"$tmp/victim" &
victim=$!
exec 8>"$tmp/in"
wait_for '^ready' "$tmp/victim" || exit 99

echo text >"$tmp/text"
head -c 64 "$counter" >"$tmp/head"
head -c 8000 "$counter" >"$tmp/cut"
cp "$counter" "$tmp/stripped" && strip "$tmp/stripped" && objcopy -R .dynsym -R .dynstr "$tmp/stripped" 2>/dev/null
cp "$funccount" "$tmp/true" && strip "$tmp/true"
run="$notrap run -- $funccount -d 0.1"
expect 1 'not an ELF file' 'a text is not an ELF file' $run "$tmp/text:*"
expect 1 'funccount: ' 'an ELF header alone' $run "$tmp/head:*"
expect 1 'funccount: ' 'an ELF file that was cut short' $run "$tmp/cut:*"
expect 1 'No such file' 'no such file' $run "$tmp/none:*"
expect 1 'no function symbols|stripped' 'a stripped file' $run "$tmp/true:*"
expect 1 "no function of .* matches 'nowhere'" 'no such function' $run "$counter:nowhere"
expect 1 "no function of .* matches 'zz\*'" 'a pattern that matches nothing' $run "$counter:zz*"
expect 1 'not an ELF' 'notrap plan: a text is not an ELF file' "$notrap" plan "$tmp/text"
expect 1 'No such file' 'notrap plan: no such file' "$notrap" plan "$tmp/none"
expect 1 'notrap: plan: ' 'notrap plan: an ELF file that was cut short' "$notrap" plan "$tmp/cut"
expect 127 'No such file' 'notrap run: no such loader' "$notrap" run /nowhere/loader
expect 126 'ermission denied' 'notrap run: a loader that is not a program' "$notrap" run "$tmp/text"

# --- processes ---

expect 1 'no process 999999' 'no such process' $run -p 999999 "$counter:v_*"
if command -v strace >/dev/null; then
	strace -qq -o /dev/null -p $victim 8>&- &
	tracer=$!
	wait_for "^TracerPid:[[:space:]]*$tracer" /proc/$victim/status
	expect 1 "traced by pid $tracer \(strace\)" 'a process that strace has: who traces it is said' \
		$run -p $victim "$counter:v_*"
	grep -q 'busy' "$tmp/out"
	check $? 'EBUSY'
	kill $tracer
	wait $tracer 2>/dev/null
else
	tap_skip 'no strace' 'a traced process'
fi
expect 0 '0 calls of 0 functions' 'and when it is let go it can be attached' $run -p $victim "$counter:v_*"

# --- limits ---

# A new broker each time: it inherits the limit.
limited() { # LIMIT CODE REGEX WHAT
	"$notrap" stop -a >/dev/null 2>&1
	limit=$1 code=$2 regex=$3 what=$4
	expect "$code" "$regex" "$what" sh -c "ulimit $limit && exec $run -p $victim '$counter:v_*'"
}
limited '-f 0' 1 'does not start: File too large' 'no file may grow: the broker says so'
limited '-n 4' 1 'Too many open files' '4 descriptors'
limited '-n 12' 1 'Too many open files' '12 descriptors'
limited '-n 20' 1 'Too many open files' '20 descriptors'
limited '-n 40' 0 '0 calls of 0 functions' '40 are enough'
limited '-v 12000' 1 'does not start: ' '12 MB of memory'
limited '-v 20000' 1 'cannot attach' '20 MB: the attach fails'
limited '-v 100000' 0 '0 calls of 0 functions' '100 MB are enough'
"$notrap" stop -a >/dev/null 2>&1

# 64 KiB of disk, then none at all.
full_disk() {
	unshare -m sh -c "mount --make-rprivate / && mount -t tmpfs -o size=64k,mode=700 none $NOTRAP_DIR && $1
		$run -p $victim '$counter:v_*'; code=\$?; $notrap stop -a >/dev/null; exit \$code"
}
if unshare -m true 2>/dev/null; then
	full_disk : >"$tmp/out" 2>&1
	check $? 'a runtime directory of 64 KiB'
	full_disk "head -c 100000 /dev/zero >$NOTRAP_DIR/full 2>/dev/null;" >"$tmp/out" 2>&1
	check $? 'a full one'
else
	tap_skip 'no mount namespace for us' 'a full disk'
fi

# --- the runtime directory ---

mkdir -m 755 "$tmp/open"
expect 1 'mode 0700' 'a runtime directory that others can enter' env NOTRAP_DIR="$tmp/open" $run "$counter:v_*"
mkdir -m 700 "$tmp/theirs"
if chown 1000 "$tmp/theirs" 2>/dev/null; then
	expect 1 'must belong to you' "another user's" env NOTRAP_DIR="$tmp/theirs" $run "$counter:v_*"
else
	tap_skip 'not root' "another user's"
fi
ln -s "$NOTRAP_DIR" "$tmp/link"
expect 1 'runtime directory' 'a symbolic link' env NOTRAP_DIR="$tmp/link" $run "$counter:v_*"
expect 1 'absolute path' 'a relative path' env NOTRAP_DIR=somewhere $run "$counter:v_*"

# --- loaders in loaders ---

expect 0 '0 calls of 0 functions' 'notrap run notrap run' "$notrap" run "$notrap" run "$funccount" -d 0.1 -p $victim "$counter:v_*"
expect 0 "notrap-shim.so:$build/tests/victims/libvictim.so\$" "the user's LD_PRELOAD is kept" \
	env LD_PRELOAD="$build/tests/victims/libvictim.so" "$notrap" run sh -c 'echo $LD_PRELOAD'
expect 3 'leaving' "the loader's exit code is ours" "$notrap" run sh -c 'echo leaving; exit 3'

# --- the victim ---

echo 'run 2 100' >&8
wait_for '^done' "$tmp/victim"
check $? 'the victim goes on'
exec 8>&-
wait $victim
check $? 'and found every result right'
tap_done
