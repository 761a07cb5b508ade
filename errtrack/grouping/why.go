package grouping

import (
	"strings"

	"manus/language"
)

// Rule is by what an event was put to others.
type Rule string

// The rules, in the order in which they are asked. Their names are hashed.
const (
	Fingerprint  Rule = "fingerprint"
	OwnFrames    Rule = "own frames"
	AllFrames    Rule = "all frames"
	TypesAndText Rule = "types and text"
	Text         Rule = "text"
	Nothing      Rule = "nothing"
	// Flood is asked by nobody here: it is for what isn't told apart any more.
	Flood Rule = "flood"
)

// Why is what an event's own hash was made of.
type Why struct {
	Rule  Rule     `json:"rule"`
	Types []string `json:"types,omitempty"` // of the exception that was caught, and of its causes
	// Frames are those next to the failure, at most 8, that one first; FrameCount is of how
	// many, which is more only where no frame is of the program's own code.
	Frames     []string `json:"frames,omitempty"`
	FrameCount int      `json:"frame_count,omitempty"`
	Line       string   `json:"line,omitempty"` // of source that failed, in the last of Frames
	Text       string   `json:"text,omitempty"` // with marks for what differs
	// Fingerprint is what the program said. If "{{ default }}" is in it, the rest is what that
	// stands for; else Rule is Fingerprint, and the rest is empty.
	Fingerprint []string `json:"fingerprint,omitempty"`
	// Unknown are the parts of it that are written as variables, and stand for nothing known.
	Unknown []string `json:"unknown,omitempty"`
}

var (
	because = language.Text{En: "Put together by ", Ar: "جُمِعت حسب "}
	byFlood = language.Text{
		En: "nothing but that each was of a new kind, when there were too many new kinds at once",
		Ar: "لا شيء سوى أن كلًّا منها من نوع جديد، حين كثرت الأنواع الجديدة دفعة واحدة",
	}
	and             = language.Text{En: " and ", Ar: " و"}
	comma           = language.Text{En: ", ", Ar: "، "}
	byProgram       = language.Text{En: "the fingerprint that the program gave: ", Ar: "البصمة التي حدّدها البرنامج: "}
	unknownVariable = language.Text{En: "; taken as they are written, as they stand for nothing that is known: ", Ar: "؛ وأُخذت كما كُتبت لأنها لا تدل على شيء معروف: "}
	whereMeans      = language.Text{En: ", where the default is ", Ar: "، والمبدئي فيها هو "}
	byTypes         = language.Plural{
		En: language.Forms{One: "the type ", Other: "the types "},
		Ar: language.Forms{One: "النوع ", Two: "النوعين ", Other: "الأنواع "},
	}
	byOwn = language.Plural{
		En: language.Forms{One: "the innermost frame of the program's own code: ", Other: "the # innermost frames of the program's own code: "},
		Ar: language.Forms{One: "الإطار الأقرب إلى الخطأ من شيفرة البرنامج نفسه: ", Two: "الإطارين الأقرب إلى الخطأ من شيفرة البرنامج نفسه: ", Few: "أقرب # إطارات إلى الخطأ من شيفرة البرنامج نفسه: ", Many: "أقرب # إطارًا إلى الخطأ من شيفرة البرنامج نفسه: ", Other: "أقرب # إطار إلى الخطأ من شيفرة البرنامج نفسه: "},
	}
	byAll = language.Plural{
		En: language.Forms{One: "its only frame, which isn't the program's own code: ", Other: "all its # frames, none of which is the program's own code: "},
		Ar: language.Forms{One: "إطاره الوحيد، وليس من شيفرة البرنامج نفسه: ", Two: "إطاريه، وليس أيّ منهما من شيفرة البرنامج نفسه: ", Few: "كل إطاراته وعددها #، وليس أيّ منها من شيفرة البرنامج نفسه: ", Other: "كل إطاراته وعددها #، وليس أيّ منها من شيفرة البرنامج نفسه: "},
	}
	byLine    = language.Text{En: "the line of source ", Ar: "السطر البرمجي "}
	byText    = language.Text{En: "the text ", Ar: "النص "}
	byNothing = language.Text{En: "nothing: it has no type, no stack and no text", Ar: "لا شيء: ليس فيه نوع ولا مكدّس استدعاءات ولا نص"}
)

// Sentence says it to a person.
func (w Why) Sentence() language.Text {
	return language.Text{En: w.in(language.English), Ar: w.in(language.Arabic)}
}

func (w Why) in(tag language.Tag) string {
	list := func(items []string) string {
		var isolated []string
		for _, item := range items {
			isolated = append(isolated, tag.Isolate(item))
		}
		return strings.Join(isolated, comma.In(tag))
	}
	var parts []string
	if len(w.Types) > 0 {
		parts = append(parts, byTypes.In(tag, len(w.Types))+list(w.Types))
	}
	if w.FrameCount > 0 {
		frames := byAll
		if w.Rule == OwnFrames {
			frames = byOwn
		}
		text := frames.In(tag, w.FrameCount) + list(w.Frames)
		if w.FrameCount > len(w.Frames) {
			text += comma.In(tag) + "…"
		}
		parts = append(parts, text)
	}
	if w.Line != "" {
		parts = append(parts, byLine.In(tag)+tag.Isolate(w.Line))
	}
	if w.Text != "" {
		parts = append(parts, byText.In(tag)+tag.Isolate(w.Text))
	}
	if w.Rule == Nothing {
		parts = append(parts, byNothing.In(tag))
	}
	if w.Rule == Flood {
		parts = append(parts, byFlood.In(tag))
	}
	what := strings.Join(parts, and.In(tag))
	if len(w.Fingerprint) > 0 {
		said := byProgram.In(tag) + list(w.Fingerprint)
		if what != "" {
			said += whereMeans.In(tag)
		}
		what = said + what
	}
	if len(w.Unknown) > 0 {
		what += unknownVariable.In(tag) + list(w.Unknown)
	}
	return because.In(tag) + what + "."
}
