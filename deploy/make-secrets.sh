#!/bin/sh
# Writes the secrets of compose.yaml into the folder secrets beside it, or into
# the one that is named: ./make-secrets.sh [FOLDER]. What is there already stays
# as it is, so it can be run again; to rotate a secret, see README.md.
#
# Nobody but its owner can enter the folder (0700). The files in it are 0444 and
# not 0600, because compose hands them to containers with the mode they have
# here, and no container runs as you: with 0600 none of them could read a thing.
set -eu
cd "$(dirname "$0")"
dir=${1:-secrets}
umask 077
mkdir -p "$dir"
chmod 0700 "$dir"

# random N is N random bytes in hexadecimal digits, which URLs take as they are.
random() {
	od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'
}

# keep NAME writes what comes in to a file, whole or not at all, unless it exists.
keep() {
	cat >"$dir/.$1.$$"
	chmod 0444 "$dir/.$1.$$"
	if ln "$dir/.$1.$$" "$dir/$1" 2>/dev/null; then
		echo "$dir/$1: written"
	else
		echo "$dir/$1: is there already, left as it is"
	fi
	rm -f "$dir/.$1.$$"
	[ -s "$dir/$1" ] || { echo "$dir/$1 is empty or can't be written" >&2 && exit 1; }
}

random 48 | keep jwt_secret_key

random 24 | keep mongodb_root_password
random 24 | keep mongodb_password
echo "mongodb://manus:$(cat "$dir/mongodb_password")@mongo:27017/manus" | keep mongodb_uri

echo "requirepass $(random 24)" | keep redis_conf
echo "redis://:$(sed -n 's/^requirepass //p' "$dir/redis_conf")@redis:6379" | keep redis_url
