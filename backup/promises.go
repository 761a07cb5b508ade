package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"manus/docstore"
	"manus/internal/cron"
	"manus/internal/machine"
	"manus/internal/words"
	"manus/language"
	"manus/readiness"
)

// PromisesConfig is what the promises of backups are about.
type PromisesConfig struct {
	// Service is the one that there is by now; nil where none is configured.
	Service func() *Service
	// When they are made; nil is by others.
	When *cron.Schedule
	// DataDir is where the data is; empty where that is a server's.
	DataDir string
	// Trial is set where the product is only being tried, on one machine.
	Trial bool
	// Disk is what a folder lies on.
	Disk func(path string) (machine.Disk, error)
}

// Promises are what is measured of backups.
func Promises(c PromisesConfig) []readiness.Check {
	p := promises{c}
	check := func(name string, title language.Text, measure func(context.Context, *Service) readiness.Finding) readiness.Check {
		return readiness.Check{ID: "backups." + name, Title: title, Patience: 9 * time.Second, Measure: func(ctx context.Context) readiness.Finding {
			if s := p.Service(); s != nil {
				return measure(ctx, s)
			}
			return readiness.Broken(
				language.Text{En: "There is nowhere for backups to go.", Ar: "لا مكان تُحفظ فيه النسخ الاحتياطية."},
				language.Text{En: "Set S3_BUCKET, or BACKUP_DIR to a folder on another machine.", Ar: "اضبط S3_BUCKET، أو اجعل BACKUP_DIR مجلّدًا على جهاز آخر."})
		}}
	}
	newest := check("newest", language.Text{En: "The newest verified backup is younger than its schedule", Ar: "أحدث نسخة احتياطية مُتحقَّق منها أحدث من موعدها"}, p.newest)
	newest.Essential, newest.Keep = true, lookEvery
	elsewhere := check("elsewhere", language.Text{En: "The newest verified backup is on another machine too", Ar: "أحدث نسخة احتياطية مُتحقَّق منها محفوظة على جهاز آخر أيضًا"}, p.elsewhere)
	elsewhere.Keep = lookEvery
	encrypted := check("encrypted", language.Text{En: "Backups are encrypted", Ar: "النسخ الاحتياطية مشفّرة"}, p.encrypted)
	encrypted.Keep = lookEvery
	destination := check("destination", language.Text{En: "Each destination of backups takes a file and gives it back", Ar: "كلّ وجهة للنسخ الاحتياطية تقبل ملفًّا وتعيده"}, p.destinations)
	destination.Keep = lookEvery
	space := check("space", language.Text{En: "There is room for the next backups", Ar: "توجد مساحة للنسخ الاحتياطية القادمة"}, p.space)
	space.OfCopy = true
	return []readiness.Check{newest, elsewhere, encrypted, destination, space}
}

type promises struct{ PromisesConfig }

// onOneMachine is why something isn't measured where the product is being tried.
var onOneMachine = readiness.NotMeasured(language.Text{En: "The product is being tried on one machine, where its backups stay.", Ar: "المنتَج قيد التجربة على جهاز واحد، وتبقى نسخه الاحتياطية عليه."})

// listed are the backups, and the newest that saves us. Where there is none, it says why.
func (p promises) listed(ctx context.Context, s *Service) (newest Backup, ok bool, why readiness.Finding) {
	all, err := s.List(ctx)
	if newest, ok = all.NewestVerified(); ok {
		return newest, true, why
	}
	if err != nil {
		return newest, false, readiness.Broken(
			language.Text{En: "Backups can't be listed: #.", Ar: "تعذّر سرد النسخ الاحتياطية: #."}.Quoting(err.Error()), mendTarget)
	}
	return newest, false, p.none(ctx, s)
}

var mendTarget = language.Text{En: "See that the destination can be reached and its access is still good: manus backup list.", Ar: "تحقّق من إمكان الوصول إلى الوجهة ومن صلاحية بيانات الدخول: manus backup list."}

// none says that there is no verified backup, or none yet.
func (p promises) none(ctx context.Context, s *Service) readiness.Finding {
	var st Status
	err := s.withStore(ctx, func(store docstore.Store) (err error) {
		st, err = docstore.NewCollection[Status](store, spec).Get(ctx, theSchedule)
		return err
	})
	mend := language.Text{En: "Make one: manus backup create. If that fails, it says why.", Ar: "أنشئ نسخة: manus backup create. إن فشل الأمر ذكر السبب."}
	if p.When != nil && st.Since.IsZero() && docstore.NotFoundAs(err, nil) == nil {
		return readiness.Doubtful(language.Text{En: "There is none yet: no server has begun to make them.", Ar: "لا توجد نسخة بعد: لم يبدأ خادم بإنشائها."}, mend)
	}
	since := s.Now().Sub(st.Since.Time)
	if err == nil && !st.Since.IsZero() && since >= 0 && since <= s.deadline(p.When) {
		return readiness.Doubtful(language.Both(func(t language.Tag) string {
			return language.Text{En: "There is none yet; backups have been scheduled for #.", Ar: "لا توجد نسخة بعد؛ النسخ مُجدوَل منذ #."}.Quoting(t.Duration(since)).In(t)
		}), mend)
	}
	return readiness.Broken(language.Text{En: "There is no verified backup.", Ar: "لا توجد نسخة احتياطية مُتحقَّق منها."}, mend)
}

// newest is that the newest backup that saves us isn't older than the alarm has it.
func (p promises) newest(ctx context.Context, s *Service) readiness.Finding {
	b, ok, why := p.listed(ctx, s)
	if !ok {
		return why
	}
	age, limit := s.Now().Sub(b.CreatedAt), s.deadline(p.When)
	evidence := language.Both(func(t language.Tag) string {
		return language.Text{
			En: "It is # old (# at most): #. Restored and compared: # documents of # collections, in # s.",
			Ar: "عمرها # (وأقصاه #): #. استُعيدت وقورنت: # من المستندات في # من المجموعات، خلال # ث.",
		}.Quoting(t.Duration(age), t.Duration(limit), b.File, t.Number(b.Documents), t.Number(len(b.Collections)), t.Number(math.Round(b.VerifySeconds*100)/100)).In(t)
	})
	if age > limit {
		return readiness.Broken(evidence, language.Text{En: "See why no newer one was made and verified: manus backup list, and the server's log.", Ar: "انظر لماذا لم تُنشأ نسخة أحدث ويُتحقَّق منها: manus backup list وسجلّ الخادم."})
	}
	return readiness.Kept(evidence)
}

// distance is how far a target is from the data.
type distance int

const (
	sameDisk distance = iota
	thisMachine
	otherMachine
)

// distant is implemented by targets that know whether they are on another machine.
type distant interface{ OnThisMachine() bool }

// distance is how far a target is from the data, as far as is known.
func (p promises) distance(t Target) distance {
	folder, ok := t.(*Folder)
	if !ok {
		if d, ok := t.(distant); ok && d.OnThisMachine() {
			return thisMachine
		}
		return otherMachine
	}
	to, err := p.Disk(folder.Dir())
	if err == nil && to.Network {
		return otherMachine
	}
	if p.DataDir == "" {
		return thisMachine
	}
	data, failure := p.Disk(p.DataDir)
	if err == nil && failure == nil && data.Device != to.Device {
		return thisMachine
	}
	return sameDisk
}

// elsewhere is that the backup that would save us survives this machine.
func (p promises) elsewhere(ctx context.Context, s *Service) readiness.Finding {
	if p.Trial {
		return onOneMachine
	}
	b, ok, why := p.listed(ctx, s)
	if !ok {
		return why
	}
	far := slices.MaxFunc(b.targets, func(x, y Target) int { return int(p.distance(x)) - int(p.distance(y)) })
	mend := language.Text{En: "Set S3_BUCKET to a bucket elsewhere, or BACKUP_DIR to a folder on another machine.", Ar: "اضبط S3_BUCKET على حاوية في مكان آخر، أو اجعل BACKUP_DIR مجلّدًا على جهاز آخر."}
	switch p.distance(far) {
	case sameDisk:
		return readiness.Broken(language.Text{En: "# is only on the disk that the data is on, in #.", Ar: "# محفوظة على قرص البيانات نفسه فقط، في #."}.Quoting(b.File, far.String()), mend)
	case thisMachine:
		return readiness.Doubtful(language.Text{En: "# is on this machine only, in #.", Ar: "# محفوظة على هذا الجهاز فقط، في #."}.Quoting(b.File, far.String()), mend)
	}
	return readiness.Kept(language.Text{En: "# is at #.", Ar: "# محفوظة في #."}.Quoting(b.File, far.String()))
}

// encrypted is that who takes a backup can't read it.
func (p promises) encrypted(ctx context.Context, s *Service) readiness.Finding {
	if p.Trial {
		return onOneMachine
	}
	if len(s.Recipients) == 0 {
		return readiness.Doubtful(
			language.Text{En: "They are stored in clear: whoever gets at a destination reads all data.", Ar: "تُحفظ بلا تشفير: من يصل إلى الوجهة يقرأ كلّ البيانات."},
			language.Text{En: "Make a key with age-keygen, set BACKUP_AGE_RECIPIENTS to its public part, and keep the other part elsewhere.", Ar: "أنشئ مفتاحًا بالأمر age-keygen، واضبط BACKUP_AGE_RECIPIENTS على جزئه العلني، واحفظ الجزء الآخر في مكان آخر."})
	}
	b, ok, why := p.listed(ctx, s)
	switch {
	case !ok:
		return why
	case b.Encryption == "":
		return readiness.Broken(language.Text{En: "# isn't, although BACKUP_AGE_RECIPIENTS is set.", Ar: "# ليست مشفّرة، مع أنّ BACKUP_AGE_RECIPIENTS مضبوط."}.Quoting(b.File),
			language.Text{En: "Make a new one: manus backup create. Remove the one in clear.", Ar: "أنشئ نسخة جديدة: manus backup create. واحذف غير المشفّرة."})
	}
	return readiness.Kept(language.Both(func(t language.Tag) string {
		return language.Text{En: "# is, with #; recipients: #.", Ar: "# مشفّرة بـ #؛ عدد المستلمين: #."}.Quoting(b.File, b.Encryption, t.Number(len(s.Recipients))).In(t)
	}))
}

// trialPrefix begins the names of files that are only there while a destination is tried. No
// backup's name begins so.
const trialPrefix = filePrefix + "check-"

// destinations is that each of them takes a small file, gives it back and removes it.
func (p promises) destinations(ctx context.Context, s *Service) readiness.Finding {
	var good []taken
	var locked []string
	var bad []error
	for _, t := range s.Targets {
		began := time.Now()
		switch err := tryTarget(ctx, t); {
		case t.Locks():
			locked = append(locked, t.String())
		case err != nil:
			bad = append(bad, fmt.Errorf("%s: %w", t, err))
		default:
			good = append(good, taken{t.String(), time.Since(began)})
		}
	}
	switch {
	case len(bad) > 0:
		return readiness.Broken(language.Text{En: "A file can't be written, read and removed: #.", Ar: "تعذّرت كتابة ملفّ وقراءته وحذفه: #."}.Quoting(errors.Join(bad...).Error()), mendTarget)
	case len(good) == 0:
		return readiness.NotMeasured(language.Text{En: "What is written to # can't be removed for a time (object lock), so nothing is written there only to try.", Ar: "ما يُكتب في # لا يمكن حذفه مدّةً (object lock)، فلا يُكتب هناك شيء للتجربة."}.Quoting(strings.Join(locked, ", ")))
	}
	return readiness.Kept(language.Both(func(t language.Tag) string {
		var all []string
		for _, one := range good {
			all = append(all, t.Quote(one.by)+" ("+t.Took(one.in)+")")
		}
		return language.Text{En: "A file was written, read and removed: ", Ar: "كُتب ملفّ وقُرئ وحُذف: "}.In(t) + strings.Join(all, language.Text{En: ", ", Ar: "، "}.In(t)) + "."
	}))
}

// taken is by which destination a file was taken, and in which time.
type taken struct {
	by string
	in time.Duration
}

// tryTarget writes a file, reads it and removes it, also those that killed processes have left.
// It leaves a target alone in which nothing can be removed.
func tryTarget(ctx context.Context, t Target) (err error) {
	if t.Locks() {
		return nil
	}
	name, text := trialPrefix+docstore.NewID(), []byte("Written and removed by 'manus check'.\n")
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		if failure := removeTrials(ctx, t, name); err == nil { // else it says the same again
			err = failure
		}
	}()
	if err := t.Put(ctx, name, text); err != nil {
		return err
	}
	file, err := t.Open(ctx, name)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it is read
	read, err := io.ReadAll(io.LimitReader(file, int64(len(text))+1))
	if err == nil && !bytes.Equal(read, text) {
		err = errors.New("what is read isn't what was written")
	}
	return err
}

// leftFor is how old a file is, by the clock of the target, that was left there by a process that was
// killed: a trial takes seconds.
const leftFor = 2 * time.Minute

// ofTrial is the name of such a file: what else begins like it isn't ours.
var ofTrial = regexp.MustCompile("^" + regexp.QuoteMeta(trialPrefix) + "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

// removeTrials removes a file that was written to try a target, and those that were left there.
func removeTrials(ctx context.Context, t Target, name string) error {
	files, err := t.List(ctx, trialPrefix)
	if own := slices.IndexFunc(files, func(f File) bool { return f.Name == name }); own >= 0 {
		for _, f := range files {
			if ofTrial.MatchString(f.Name) && files[own].Modified.Sub(f.Modified).Abs() > leftFor {
				err = errors.Join(err, t.Remove(ctx, f.Name))
			}
		}
	}
	return errors.Join(err, t.Remove(ctx, name))
}

// space is that the folder has room for the next backups. What the newest one is like, it
// remembers: all copies ask this again and again.
func (p promises) space(ctx context.Context, s *Service) readiness.Finding {
	i := slices.IndexFunc(s.Targets, func(t Target) bool { _, ok := t.(*Folder); return ok })
	if i < 0 {
		return readiness.NotMeasured(language.Text{En: "They go to a bucket, which doesn't say how much room it has.", Ar: "تُحفظ في حاوية، وهي لا تذكر المساحة المتبقّية فيها."})
	}
	disk, err := p.Disk(s.Targets[i].String())
	if err != nil {
		return readiness.NotMeasured(language.Text{En: "The disk of # doesn't say how much room it has: #.", Ar: "لا يذكر قرص # المساحة المتبقّية فيه: #."}.Quoting(s.Targets[i].String(), err.Error()))
	}
	var last Mark
	_ = s.withStore(ctx, func(store docstore.Store) error { // without it only the share counts
		st, err := docstore.NewCollection[Status](store, spec).Get(ctx, theSchedule)
		last = st.Good
		return err
	})
	evidence := language.Text{En: "# of # are free in #.", Ar: "# من # خالية في #."}.Quoting(words.Size(int64(disk.Free)), words.Size(int64(disk.Total)), s.Targets[i].String())
	if last.File != "" {
		size := language.Text{En: " The newest backup has #.", Ar: " وحجم أحدث نسخة #."}.Quoting(words.Size(last.Size))
		evidence = language.Text{En: evidence.En + size.En, Ar: evidence.Ar + size.Ar}
	}
	mend := language.Text{En: "Free some, give it a larger disk, or keep fewer: BACKUP_RETENTION_DAYS.", Ar: "أخلِ مساحة، أو استعمل قرصًا أكبر، أو احتفظ بنسخ أقلّ: BACKUP_RETENTION_DAYS."}
	switch size := uint64(max(last.Size, 0)); {
	case disk.Free < size+size/4 || disk.Share() < 0.01:
		return readiness.Broken(evidence, mend)
	case disk.Free < 4*size || disk.Share() < 0.05:
		return readiness.Doubtful(evidence, mend)
	}
	return readiness.Kept(evidence)
}
