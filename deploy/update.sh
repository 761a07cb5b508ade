#!/bin/sh
# Puts a new version of Manus in the place of the running copies: as many new
# ones are started beside them, and once the balancer counts all of them ready the
# old ones are told to stop, which they do when they have answered what they have.
# When the new ones don't get ready in time, they go again and nothing has changed.
#
#     ./update.sh            builds the image from this source
#     ./update.sh --no-build takes the image that is there
set -eu
cd "$(dirname "$0")"

# ready is how many copies the balancer counts as ready.
ready() {
	docker compose exec -T balancer wget -q -O - http://127.0.0.1:8404/copies
}

# reach N waits until N copies are ready, a minute at most.
reach() {
	for _ in $(seq 60); do
		[ "$(ready)" != "$1" ] || return 0
		sleep 1
	done
	return 1
}

# remove ID… stops copies, and then nothing starts them again.
remove() {
	docker stop --time 30 "$@" >/dev/null
	docker rm "$@" >/dev/null
}

[ "${1:-}" = --no-build ] || docker compose build manus

old=$(docker compose ps -q manus)
# shellcheck disable=SC2086 # a list of ids
set -- $old
count=$#
if [ "$count" = 0 ] || [ "$count" -gt 6 ]; then
	echo "There are $count copies. This works with 1 to 6: the balancer has room for 12." >&2
	exit 1
fi
if ! reach "$count"; then
	echo "Not all of the $count copies are ready. Mend that first." >&2
	exit 1
fi

docker compose up -d --no-deps --no-recreate --scale "manus=$((2 * count))" manus
if ! reach $((2 * count)); then
	echo "The new copies don't get ready, and go again. They said:" >&2
	for id in $(docker compose ps -aq manus); do
		case " $* " in
		*" $id "*) ;;
		*)
			docker logs --tail 5 "$id" >&2 || true
			remove "$id"
			;;
		esac
	done
	exit 1
fi
remove "$@"
echo "$count new copies have taken over."
