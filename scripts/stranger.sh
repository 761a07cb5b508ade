#!/bin/sh
# Does what the README says, as a stranger would on an empty machine, and fails where
# it doesn't come true. The commands are the README's own.
#
#     scripts/stranger.sh                 all of it, the test command too, with nothing in
#                                         Go's caches. By root, where debootstrap is, in a
#                                         root that has Go, Node, git and curl alone; else
#                                         in an empty HOME. It takes 4 GB and ten minutes.
#     scripts/stranger.sh --walk          the walk alone (dev, the API, init, serve), of both
#                                         languages, on free ports, with a program built of
#                                         the files that are here now.
#
# STRANGER_MIRROR is where debootstrap gets Debian from, STRANGER_SUITE which one.
set -eu
umask 022

fail() {
	echo "stranger: $*" >&2
	exit 1
}

# block PATTERN prints the README's first block of commands that has the pattern.
block() {
	awk -v pattern="$1" '
		!/^    / { if (found) exit; block = ""; next }
		{ block = block substr($0, 5) "\n"; if ($0 ~ pattern) found = 1 }
		END { if (!found) exit 1; printf "%s", block }
	' "$readme" || fail "$readme has no command with $1"
}

# await WHAT COMMAND... waits until the command is true, or the program $pid has ended.
await() {
	what=$1
	shift
	tries=0
	until "$@"; do
		kill -0 "$pid" 2>/dev/null || fail "it ended before $what: $(cat ./*.log)"
		tries=$((tries + 1))
		[ $tries -lt 6000 ] || fail "there is no $what after ten minutes: $(cat ./*.log)"
		sleep 0.1
	done
}

# background LOG COMMAND runs a program until stop.
background() {
	: >"$1"
	setsid sh -c "$2" >>"$1" 2>&1 &
	pid=$!
	running="$running $pid"
}

# stop ends what runs in the background, with all that it has started.
stop() {
	for pid in $running; do
		kill -TERM "-$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
		tries=0
		while kill -0 "-$pid" 2>/dev/null && [ $tries -lt 300 ]; do
			tries=$((tries + 1))
			sleep 0.1
		done
		kill -KILL "-$pid" 2>/dev/null || true
	done
	running=""
}

# walk runs the README's commands, from the start of dev to that of serve beside it.
walk() {
	background dev.log "$(block 'manus dev$' | grep 'manus dev$' | edit)"
	await "the address to open" grep -q 'Ctrl+C' dev.log
	origin=$(grep -o 'http://127[0-9.:]*' dev.log | head -n 1)

	block '^ *ORIGIN=' | sed "s|^ORIGIN=.*|ORIGIN=${origin}|" | edit >walk.sh
	text=$(sed -n 's/.*"text": "\([^"]*\)".*/\1/p' walk.sh)
	[ "$text" ] || fail "the README sends no message"
	background walk.log ". ./walk.sh; wait"
	await "a message in the stream" grep -q "^data: .*\"text\":\"$text\"" walk.log

	block 'manus init' | edit >production.sh
	grep 'manus init' production.sh | sh >init.log 2>&1 || fail "init: $(cat init.log)"
	background serve.log "$(grep 'manus serve' production.sh)"
	await "a started server" grep -q '"msg":"started"' serve.log
	addr=$(sed -n 's/.*"msg":"started","addr":"\([^"]*\)".*/\1/p' serve.log)
	curl -sS "http://$addr/ready" | grep -q '"status":"ready"' || fail "it isn't ready: $(cat serve.log)"
	curl -sS "$origin/ready" | grep -q '"status":"ready"' || fail "dev isn't ready any more: $(cat dev.log)"
	stop
	echo "stranger: the walk of ${readme##*/} came true: a message in the stream of $origin, and $addr beside it"
}

# short is the walk, here: the program is built once, and ports are free ones.
short() {
	go build -o "$dir/manus" ./cmd/manus
	edit() {
		sed -e "s|go run ./cmd/manus|$dir/manus|" -e 's|manus dev$|& --addr 127.0.0.1:0|' \
			-e 's|^ADDR=[^ ]*|ADDR=127.0.0.1:0 OPS_ADDR=127.0.0.1:0|'
	}
	here=$PWD
	for name in README.md README.ar.md; do
		readme=$here/$name
		mkdir "$dir/$name"
		cd "$dir/$name"
		walk
	done
}

# whole is everything, where $1 is the repository's address.
whole() {
	edit() { cat; }
	began=$(date +%s)
	git clone -q "$1" "$dir/manus"
	cd "$dir/manus"
	readme=README.md
	[ "$(block 'git clone' | head -n 1)" = "git clone <address of this repository> manus && cd manus" ] || fail "the README clones otherwise"
	walk
	walked=$(($(date +%s) - began))
	command=$(block 'go test')
	echo "stranger: + $command"
	sh -c "$command" || fail "the test command failed"
	echo "stranger: the walk took $walked s, all of it $(($(date +%s) - began)) s and $(du -shc "$HOME" "$dir" | tail -n 1 | cut -f 1)"
}

# empty makes an empty machine and runs this script's whole there.
empty() {
	git clone -q --bare . "$dir/repository"
	goroot=$(go env GOROOT)
	if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
		mkdir "$dir/home"
		env -i HOME="$dir/home" PATH="$goroot/bin:$PATH" sh "$0" --whole "$dir/repository"
		return
	fi
	echo "stranger: making a root with Go, Node, git and curl alone"
	debootstrap --variant=minbase --include=ca-certificates,curl,git,libstdc++6 \
		"${STRANGER_SUITE:-bookworm}" "$dir/system" "${STRANGER_MIRROR:-http://deb.debian.org/debian}" >"$dir/log" || fail "$(tail "$dir/log")"
	mkdir "$dir/system/usr/local/go" "$dir/system/usr/lib/node_modules"
	# Node as this machine has it: Debian's is too old for the SDKs of the tests, and has no npm.
	cp "$(readlink -f "$(command -v node)")" "$dir/system/usr/bin/node"
	cp -R "$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")" "$dir/system/usr/lib/node_modules/npm"
	ln -s ../lib/node_modules/npm/bin/npm-cli.js "$dir/system/usr/bin/npm"
	cp /etc/resolv.conf "$dir/system/etc/"
	cp /etc/ssl/certs/ca-certificates.crt "$dir/system/etc/ssl/certs/" # as this machine trusts
	cp "$0" "$dir/system/stranger.sh"
	cp -r "$dir/repository" "$dir/system/repository"
	# shellcheck disable=SC2016 # it is the inner shell that expands
	unshare --mount --pid --fork --kill-child sh -eu -c '
		mount --rbind "$1" "$1" # with a root that is no mount point, nobody can mount anything in it
		cd "$1"
		mount --bind "$2" usr/local/go
		mount -t proc proc proc
		mkdir old
		pivot_root . old
		exec chroot . env -i HOME=/root PATH=/usr/local/go/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt \
			sh -c "umount -l /old; exec sh /stranger.sh --whole /repository"
	' sh "$dir/system" "$goroot"
}

running=""
dir=$(mktemp -d "${TMPDIR:-/tmp}/stranger.XXXXXX")
tidy() {
	stop
	[ ! -d "$dir/home/go" ] || chmod -R u+w "$dir/home/go"
	rm -rf "$dir"
}
trap tidy EXIT
trap 'exit 1' INT TERM

case ${1:-} in
--walk) short ;;
--whole) whole "$2" ;; # in the empty machine
"") empty ;;
*) fail "there is no $1; see the first lines of this script" ;;
esac
