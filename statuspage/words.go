package statuspage

import (
	"manus/design"
	"manus/language"
)

// statusWords are the statuses in a word or two.
var statusWords = map[Status]language.Text{
	Operational:      {En: "Operational", Ar: "تعمل"},
	Unknown:          {En: "Not known", Ar: "غير معروفة"},
	UnderMaintenance: {En: "Maintenance", Ar: "صيانة"},
	Degraded:         {En: "Degraded", Ar: "أداء متراجع"},
	PartialOutage:    {En: "Partial outage", Ar: "انقطاع جزئي"},
	MajorOutage:      {En: "Outage", Ar: "انقطاع"},
}

// overallWords are the sentences of the banner.
var overallWords = map[Status]language.Text{
	Operational:      {En: "All systems operational", Ar: "جميع الأنظمة تعمل"},
	Unknown:          {En: "The state of some systems isn’t known right now", Ar: "حال بعض الأنظمة غير معروف الآن"},
	UnderMaintenance: {En: "Maintenance is under way", Ar: "أعمال صيانة جارية"},
	Degraded:         {En: "Some systems are disturbed", Ar: "بعض الأنظمة متأثّرة"},
	PartialOutage:    {En: "Some systems are down", Ar: "بعض الأنظمة متوقفة"},
	MajorOutage:      {En: "Major outage", Ar: "انقطاع واسع"},
}

var nothingWatched = language.Text{En: "Nothing is watched yet", Ar: "لا شيء تحت المراقبة بعد"}

var stageWords = map[Stage]language.Text{
	Investigating: {En: "Investigating", Ar: "قيد التحقيق"},
	Identified:    {En: "Identified", Ar: "عُرف السبب"},
	Monitoring:    {En: "Monitoring", Ar: "قيد المتابعة"},
	Resolved:      {En: "Resolved", Ar: "انتهت"},
	Postmortem:    {En: "Post-mortem", Ar: "تقرير ما بعد الحادثة"},
}

// Words are those of a stage, for people.
func (s Stage) Words() language.Text { return stageWords[s] }

var severityWords = map[Severity]language.Text{
	Minor:    {En: "Minor incident", Ar: "حادثة طفيفة"},
	Major:    {En: "Major incident", Ar: "حادثة كبيرة"},
	Critical: {En: "Critical incident", Ar: "حادثة خطيرة"},
}

// severityLevels are how an incident is drawn as long as it is open.
var severityLevels = map[Severity]design.Level{Minor: design.Degraded, Major: design.Partial, Critical: design.Down}

var (
	daysAgo = language.Plural{
		En: language.Forms{One: "# day ago", Other: "# days ago"},
		Ar: language.Forms{One: "قبل يوم", Two: "قبل يومين", Few: "قبل # أيّام", Many: "قبل # يومًا", Other: "قبل # يوم"},
	}
	cancelled = language.Text{En: "Cancelled", Ar: "أُلغيت"}
	today     = language.Text{En: "Today", Ar: "اليوم"}
	noDown    = language.Text{En: "never down", Ar: "بلا انقطاع"}
	down      = language.Text{En: "# down", Ar: "انقطاع #"}
	notKnown  = language.Text{En: "# not known", Ar: "# غير معروف"}
	troubled  = language.Text{En: "incidents for #", Ar: "حوادث مدّتها #"}
	noFigures = language.Text{En: "no figures yet", Ar: "لا أرقام بعد"}

	stretchesLeft = language.Plural{
		En: language.Forms{One: "# more time isn’t listed.", Other: "# more times aren’t listed."},
		Ar: language.Forms{One: "وقت آخر غير مذكور.", Two: "وقتان آخران غير مذكورين.", Few: "# أوقات أخرى غير مذكورة.", Many: "# وقتًا آخر غير مذكور.", Other: "# وقت آخر غير مذكور."},
	}
	incidentsOf = language.Plural{
		En: language.Forms{Zero: "No incidents", One: "# incident", Other: "# incidents"},
		Ar: language.Forms{Zero: "لا حوادث", One: "حادثة واحدة", Two: "حادثتان", Few: "# حوادث", Many: "# حادثة", Other: "# حادثة"},
	}
)
