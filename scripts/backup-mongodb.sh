#!/bin/sh
# Makes one backup, restores it into a scratch database, compares, and removes backups
# that have had their time. It is for cron lines that name it already:
#
#     0 2 * * *  BACKUP_DIR=/var/backups/manus MONGODB_URI_FILE=/etc/manus/mongodb-uri /opt/manus/scripts/backup-mongodb.sh
#
# Name a file that has the URI, as here. In a crontab, % means a new line: cron cuts a
# MONGODB_URI at the first %XX of a password, runs nothing, and says nothing of it. (\% is
# passed on as %.) A file also keeps the password from whoever may see the crontab.
#
# BACKUP_DIR, MONGODB_URI, MONGODB_DATABASE, S3_BUCKET and all other settings of backups
# are those of manus; docs/backup.md explains them. A server that has them makes its
# backups by itself and needs no cron.
#
# MANUS names the program, where it is neither beside this folder nor in the PATH.
set -eu

if [ -z "${MANUS:-}" ]; then
	self=$0
	while [ -L "$self" ]; do # to where this folder is
		link=$(readlink "$self")
		case $link in
		/*) self=$link ;;
		*) self=$(dirname "$self")/$link ;;
		esac
	done
	MANUS=$(dirname "$self")/../manus
	[ -x "$MANUS" ] || MANUS=manus
fi
if ! command -v "$MANUS" >/dev/null; then
	echo "backup-mongodb.sh: there is no program 'manus'; set MANUS to its path" >&2
	exit 78
fi
if [ -z "${MONGODB_URI:-}${MONGODB_URI_FILE:-}" ]; then
	echo "backup-mongodb.sh: MONGODB_URI is not set; set it to the URI of the database to back up, or MONGODB_URI_FILE to a file that has it" >&2
	exit 78
fi
exec "$MANUS" backup create --prune "$@"
