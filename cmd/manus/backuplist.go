package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"manus/backup"
	"manus/internal/cron"
	"manus/internal/words"
)

type backupList struct{ whose }

// Run lists backups.
func (c backupList) Run(p *process, parent *backupCommand) error {
	return c.with(p, parent, func(v vault) error {
		if err := v.look(); err != nil {
			return err
		}
		all, err := v.Service.List(p.ctx)
		if parent.JSON {
			return errors.Join(err, json.NewEncoder(p.out).Encode(append(backup.Catalogue{}, all...)))
		}
		if all == nil && err != nil {
			return err
		}
		strays, unseen := v.Strays(p.ctx)
		for i := range all {
			all[i].Problem, all[i].Doubt = p.paste.complete(all[i].Problem), p.paste.complete(all[i].Doubt)
		}
		err = errors.Join(err, unseen, printBackups(p.out, all, time.Now()))
		if !errors.Is(v.rooms.StoreExists(p.ctx), fs.ErrNotExist) { // else no server has these settings
			err = errors.Join(err, printNext(p.out, v.settings.Backup.Schedule, time.Now()))
		}
		return errors.Join(err, printStrays(p.out, strays))
	})
}

// printBackups shows what each backup is, why it doesn't count where it doesn't, and what all
// of that comes to.
func printBackups(out io.Writer, all backup.Catalogue, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	several := slices.ContainsFunc(all, backup.Backup.Foreign)
	head := []string{"ID", "MADE", "SIZE", "DOCUMENTS", "VERIFIED", "INSTALLATION", "AT"}
	printRow(table, head, several)
	for _, b := range all {
		printRow(table, cells(b), several)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	for _, b := range all {
		if why := note(b); why != "" {
			fmt.Fprintf(out, "%s %s\n", nameOfBackup(b), why)
		}
	}
	return printSum(out, all, now)
}

// printRow leaves the installation out where there is only one.
func printRow(table io.Writer, cells []string, several bool) {
	if !several {
		cells = slices.Delete(slices.Clone(cells), 5, 6)
	}
	fmt.Fprintln(table, strings.Join(cells, "\t"))
}

const minuteLayout = "2006-01-02 15:04 MST"

// cells are a backup's, for printRow.
func cells(b backup.Backup) []string {
	at := strings.Join(b.At, ", ")
	if b.ID == "" { // its manifest can't be read
		return []string{b.File, "", "", "", "PROBLEM", "", at}
	}
	verified := "no"
	switch {
	case b.Problem != "":
		verified = "PROBLEM"
	case b.Verified:
		verified = b.VerifiedAt.Format(minuteLayout)
	case b.VerifyError != "":
		verified = "FAILED"
	}
	documents := fmt.Sprint(b.Documents)
	if b.Version == 0 { // it has no manifest
		documents = ""
	}
	return []string{b.ID, b.CreatedAt.Format(minuteLayout), words.Size(b.Size), documents, verified, installationOf(b), at}
}

// installationOf is whose a backup is, for people.
func installationOf(b backup.Backup) string {
	switch {
	case b.Problem != "" && b.Installation == "":
		return ""
	case !b.Foreign():
		return "this one"
	case b.Installation == "":
		return "not said"
	}
	return b.Installation
}

// nameOfBackup is what a person calls it by.
func nameOfBackup(b backup.Backup) string {
	if b.ID == "" {
		return b.File
	}
	return b.ID
}

// note is what has to be said of a backup. That it is another installation's, its row says.
func note(b backup.Backup) string {
	switch {
	case b.Problem != "":
		return "PROBLEM: " + b.Problem
	case b.VerifyError != "" && !b.Verified:
		return "FAILED: " + b.VerifyError
	case b.Doubt != "" && !b.Foreign():
		return "DOESN'T COUNT: " + b.Doubt
	}
	return ""
}

// printSum says how old the newest verified backup is, or what there is to choose from.
func printSum(out io.Writer, all backup.Catalogue, now time.Time) error {
	newest, ok := all.NewestVerified()
	var err error
	switch {
	case ok:
		_, err = fmt.Fprintf(out, "The newest verified backup%s is %s old.\n", ofThis(all), words.Span(now.Sub(newest.CreatedAt)))
	case all.Undecided():
		err = printChoice(out, all, "Several installations have backups here, and nothing says which of them is meant:")
	case len(all.Owners()) > 0 && slices.ContainsFunc(all, backup.Backup.Foreign):
		err = printChoice(out, all, "There is no verified backup"+ofThis(all)+". These have backups here:")
	default:
		_, err = fmt.Fprintln(out, "There is no verified backup.")
	}
	return err
}

// ofThis says which installation of several is meant: its id is what a person needs on the day
// on which there is no store that has it.
func ofThis(all backup.Catalogue) string {
	if !slices.ContainsFunc(all, backup.Backup.Foreign) {
		return ""
	}
	for _, b := range all {
		if !b.Foreign() && b.Installation != "" {
			return " of this installation (" + b.Installation + ")"
		}
	}
	return " of this installation"
}

// printChoice shows the installations that a person can choose from.
func printChoice(out io.Writer, all backup.Catalogue, why string) error {
	fmt.Fprintf(out, "%s\n\n", why)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "INSTALLATION\tBACKUPS\tNEWEST VERIFIED\tMADE\tDOCUMENTS")
	for _, owner := range all.Owners() {
		newest := "none\t\t"
		if b := owner.Newest; b.File != "" {
			newest = fmt.Sprintf("%s\t%s\t%d", b.ID, b.CreatedAt.Format(minuteLayout), b.Documents)
		}
		fmt.Fprintf(table, "%s\t%d\t%s\n", owner.Installation, owner.Backups, newest)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprint(out, "\nSay which by --installation, here and to verify or restore, or name a backup by its ID.\n")
	return err
}

// maxStrays is how many files that are no backups are shown.
const maxStrays = 20

// printStrays shows what else is in the folder: on a bad day, it may be what saves.
func printStrays(out io.Writer, strays []backup.Stray) error {
	if len(strays) == 0 {
		return nil
	}
	fmt.Fprintln(out, "\nFiles beside the backups that no run of this program has made, and none removes:")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, s := range strays[:min(len(strays), maxStrays)] {
		fmt.Fprintf(table, "  %s\t%s\t%s\t%s\n", s.Path, words.Size(s.Size), s.Modified.UTC().Format(minuteLayout), whatIs(s))
	}
	if more := len(strays) - maxStrays; more > 0 {
		fmt.Fprintf(table, "  and %d more\n", more)
	}
	return table.Flush()
}

// whatIs says what a file is, as far as it can be restored.
func whatIs(s backup.Stray) string {
	switch {
	case s.Locked:
		return "encrypted; --identity may open it"
	case s.Format == backup.SQLite:
		return "a SQLite database, which 'manus backup restore' takes by its path"
	case s.Format == backup.Archive:
		return "an archive of mongodump, which 'manus backup restore' takes by its path"
	}
	return ""
}

// printNext says when a server with these settings makes backups, so that a person sees
// whether the schedule is what they meant.
func printNext(out io.Writer, when *cron.Schedule, now time.Time) error {
	if when == nil {
		_, err := fmt.Fprintln(out, "BACKUP_SCHEDULE is off: a server makes none.")
		return err
	}
	next := make([]string, 5)
	for i := range next {
		now = when.Next(now)
		next[i] = now.Format("Mon 2006-01-02 15:04 MST")
	}
	_, err := fmt.Fprintf(out, "A server makes the next ones on %s.\n", strings.Join(next, ", "))
	return err
}
