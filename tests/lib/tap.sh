# SPDX-License-Identifier: MIT
#
# What shell tests share, to be sourced: TAP by the names of tap.h, a broker of the test's own, waiting.
#
#     . "$(dirname "$0")/../lib/tap.sh"
#     broker_own "$build/notrap"
#     tap_check 'it says so' grep -q so "$NOTRAP_DIR/out"
#     tap_done
#
# shellcheck shell=sh

tap_count=0 tap_failed=0

tap_skip_all() { # REASON: this test cannot run here
	echo "1..0 # SKIP $*"
	exit 0
}

tap_ok() { # STATUS NAME: 0 passes; else it is false, so that the caller can say more
	tap_count=$((tap_count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_count - $2"
	else
		echo "not ok $tap_count - $2"
		tap_failed=1
		return 1
	fi
}

tap_check() { # NAME COMMAND...
	tap_name=$1
	shift
	"$@"
	tap_ok $? "$tap_name"
}

tap_skip() { # REASON NAME
	tap_count=$((tap_count + 1))
	echo "ok $tap_count - $2 # SKIP $1"
}

tap_done() {
	echo "1..$tap_count"
	exit $tap_failed
}

# Makes NOTRAP_DIR, a runtime directory for this test alone. It goes when the test ends, and the broker with it. A test that
# has more to tidy up sets a trap of its own, which begins with broker_end $?.
broker_own() { # NOTRAP
	broker_notrap=$1
	broker_dir=$(mktemp -d /tmp/notrap-test-XXXXXX) || exit 99
	NOTRAP_DIR=$broker_dir
	export NOTRAP_DIR
	trap 'broker_end $?' EXIT
}

broker_end() { # STATUS of the test: if it is not 0, the log is shown
	NOTRAP_DIR=$broker_dir "$broker_notrap" stop -a >/dev/null 2>&1
	[ "$1" -eq 0 ] || tail -n 40 "$broker_dir/log" 2>/dev/null | sed 's/^/# broker: /'
	rm -rf "$broker_dir"
}

# May the kernel be asked, and is it the one whose answers count?
kernel_is_oracle() {
	case $(id -u):$(uname -r) in
	0:6.18.*) ;;
	*) return 1 ;;
	esac
}

wait_until() { # SECONDS COMMAND...: until it succeeds; false: it never did
	wait_tries=$(($1 * 50))
	shift
	until "$@"; do
		[ $wait_tries -gt 0 ] || return 1
		wait_tries=$((wait_tries - 1))
		sleep 0.02
	done
}

wait_for() { # REGEX FILE: for a line of it
	wait_until 10 grep -qs "$1" "$2"
}
