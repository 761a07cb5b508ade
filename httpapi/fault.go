package httpapi

import (
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"manus/language"
)

// Fault is one wrong part of a request.
type Fault struct {
	Location string `json:"location" doc:"Where it is." ar:"أين هو." example:"body.email"`
	Message  string `json:"message" doc:"What it should be, in English or Arabic; English where only that is known." ar:"ما ينبغي أن يكون، بالإنجليزية أو العربية؛ وبالإنجليزية حيث لا يُعرف غيرها." example:"expected string"`
}

// Invalid is an error of a room that says which part of what was asked is wrong, what is wrong
// with it, and what may be given.
type Invalid struct {
	Of    error  // what the room calls it, see [Kinds]
	Field string // where it stands in a request, such as body.origins; empty for the whole
	Why   language.Text
}

// Error is the field without where that is, and why.
func (e *Invalid) Error() string {
	if _, name, ok := strings.Cut(e.Field, "."); ok {
		return name + ": " + e.Why.En
	}
	return e.Why.En
}

// Unwrap is what the room calls it.
func (e *Invalid) Unwrap() error { return e.Of }

// Faults are what a client is answered.
func (e *Invalid) Faults(tag language.Tag) []Fault {
	return []Fault{{Location: e.Field, Message: e.Why.In(tag)}}
}

// maxFaultLocation bounds how much of a location is repeated to the client.
const maxFaultLocation = 100

// newFault keeps a validation message's own words: what huma appends after a colon are
// the client's. The location has the name of the property that is missing or isn't known.
func newFault(tag language.Tag, e *huma.ErrorDetail) Fault {
	message, _, _ := strings.Cut(e.Message, ": ")
	location := e.Location
	if strings.HasPrefix(message, "unexpected property") {
		message = unknownProperty
	}
	if name, missing := missingProperty(message); missing {
		location += "." + name
	}
	return Fault{Location: plainLocation(location), Message: faultText(message).In(tag)}
}

// missingProperty is the name of a property that a message says to be missing.
func missingProperty(message string) (name string, ok bool) {
	before, after, _ := strings.Cut(validation.MsgExpectedRequiredProperty, "%s")
	name, begins := strings.CutPrefix(message, before)
	name, ends := strings.CutSuffix(name, after)
	return name, begins && ends
}

// plainLocation is a location as short, printable text: names in it may be the client's.
func plainLocation(location string) string {
	location = strings.ToValidUTF8(location[:min(len(location), maxFaultLocation)], "")
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return -1
	}, location)
}

const unknownProperty = "there is a property that this address doesn't know"

// faultText is a validation message; as it is where no other words are known.
func faultText(message string) language.Text {
	text, _ := faults.Find(message)
	return text
}

// faults are the messages of validation: ours, and those of huma. %s is a value of the schema's.
var faults = language.NewPhrases([]language.Text{
	{En: errNotJSON.Error(), Ar: "جسم الطلب ليس JSON صالحًا"},
	{En: errDuplicateKey.Error(), Ar: "في جسم الطلب مفتاح مكرّر في كائن واحد"},
	{En: errNotText.Error(), Ar: "في جسم الطلب نصّ ليس Unicode صالحًا"},
	{En: unknownProperty, Ar: "توجد خاصية لا يعرفها هذا العنوان"},
	{En: "request body is required", Ar: "جسم الطلب مطلوب"},
	{En: "required %s parameter is missing", Ar: "معامل مطلوب من نوع %s ناقص"},
	{En: "invalid integer", Ar: "ليس عددًا صحيحًا"},
	{En: "invalid float", Ar: "ليس عددًا"},
	{En: "invalid boolean", Ar: "ليس true أو false"},
	{En: "invalid date/time", Ar: "ليس تاريخًا ووقتًا صالحين"},
	{En: "expected boolean", Ar: "يُنتظر true أو false"},
	{En: "expected number", Ar: "يُنتظر عدد"},
	{En: "expected integer", Ar: "يُنتظر عدد صحيح"},
	{En: "expected string", Ar: "يُنتظر نصّ"},
	{En: "expected array", Ar: "تُنتظر قائمة"},
	{En: "expected object", Ar: "يُنتظر كائن"},
	{En: "expected array items to be unique", Ar: "يُنتظر ألّا يتكرّر شيء في القائمة"},
	{En: "expected string to be RFC 3339 date-time", Ar: "يُنتظر تاريخ ووقت وفق RFC 3339"},
	{En: "expected string to be RFC 3339 date", Ar: "يُنتظر تاريخ وفق RFC 3339"},
	{En: "expected string to be RFC 5322 email", Ar: "يُنتظر عنوان بريد وفق RFC 5322"},
	{En: "expected string to be RFC 3986 uri", Ar: "يُنتظر عنوان URI وفق RFC 3986"},
	{En: "expected string to be RFC 4122 uuid", Ar: "يُنتظر UUID وفق RFC 4122"},
	{En: "expected string to be base64 encoded", Ar: "يُنتظر نصّ بترميز base64"},
	{En: "expected value to be one of \"%s\"", Ar: "تُنتظر واحدة من القيم: %s"},
	{En: "expected number >= %s", Ar: "يُنتظر عدد لا يقلّ عن %s"},
	{En: "expected number > %s", Ar: "يُنتظر عدد أكبر من %s"},
	{En: "expected number <= %s", Ar: "يُنتظر عدد لا يزيد على %s"},
	{En: "expected number < %s", Ar: "يُنتظر عدد أصغر من %s"},
	{En: "expected length >= %s", Ar: "يُنتظر طول لا يقلّ عن %s"},
	{En: "expected length <= %s", Ar: "يُنتظر طول لا يزيد على %s"},
	{En: "expected string to match pattern %s", Ar: "يُنتظر نصّ يطابق النمط %s"},
	{En: "expected array length >= %s", Ar: "تُنتظر قائمة لا يقلّ طولها عن %s"},
	{En: "expected array length <= %s", Ar: "تُنتظر قائمة لا يزيد طولها على %s"},
	{En: "expected required property %s to be present", Ar: "الخاصية المطلوبة %s ناقصة"},
	{En: "expected property %s to be present when %s is present", Ar: "الخاصية %s مطلوبة ما دامت الخاصية %s موجودة"},
	{En: "expected object with at least %s properties", Ar: "يُنتظر كائن لا يقلّ عدد خصائصه عن %s"},
	{En: "expected object with at most %s properties", Ar: "يُنتظر كائن لا يزيد عدد خصائصه على %s"},
	{En: "expected number to be a multiple of %s", Ar: "يُنتظر عدد من مضاعفات %s"},
	{En: "expected propertyName value to be present in object", Ar: "يُنتظر أن تكون قيمة propertyName موجودة في الكائن"},
	{En: "expected value to match at least one schema but matched none", Ar: "يُنتظر أن تطابق القيمة إحدى الصيغ، وهي لا تطابق أيًّا منها"},
	{En: "expected value to match exactly one schema but matched none", Ar: "يُنتظر أن تطابق القيمة صيغة واحدة، وهي لا تطابق أيًّا منها"},
	{En: "expected value to match exactly one schema but matched multiple", Ar: "يُنتظر أن تطابق القيمة صيغة واحدة، وهي تطابق أكثر من واحدة"},
	{En: "expected value to not match schema", Ar: "يُنتظر ألّا تطابق القيمة هذه الصيغة"},
	{En: "write only property is non-zero", Ar: "خاصية للكتابة وحدها لها قيمة"},
	{En: "expected duration", Ar: "تُنتظر مدّة"},
	{En: "expected string to be RFC 1123 date-time", Ar: "يُنتظر تاريخ ووقت وفق RFC 1123"},
	{En: "expected string to be RFC 3339 time", Ar: "يُنتظر وقت وفق RFC 3339"},
	{En: "expected string to be RFC 5890 hostname", Ar: "يُنتظر اسم مضيف وفق RFC 5890"},
	{En: "expected string to be RFC 2673 ipv4", Ar: "يُنتظر عنوان IPv4 وفق RFC 2673"},
	{En: "expected string to be RFC 2373 ipv6", Ar: "يُنتظر عنوان IPv6 وفق RFC 2373"},
	{En: "expected string to be either RFC 2673 ipv4 or RFC 2373 ipv6", Ar: "يُنتظر عنوان IPv4 أو IPv6"},
	{En: "expected string to be RFC 6570 uri-template", Ar: "يُنتظر قالب URI وفق RFC 6570"},
	{En: "expected string to be RFC 6901 json-pointer", Ar: "يُنتظر مؤشّر JSON وفق RFC 6901"},
	{En: "expected string to be RFC 6901 relative-json-pointer", Ar: "يُنتظر مؤشّر JSON نسبيّ وفق RFC 6901"},
	{En: "expected string to be regex", Ar: "يُنتظر تعبير نمطيّ"},
	{En: "expected string to be %s", Ar: "يُنتظر نصّ هو %s"}, // after the formats
	{En: "expected at most one value, but received multiple values", Ar: "تُنتظر قيمة واحدة على الأكثر، وأُرسل أكثر من واحدة"},
	{En: "unknown query parameter", Ar: "معامل لا يعرفه هذا العنوان"},
	{En: "unsupported type", Ar: "نوع غير مقبول"},
	{En: "unparsable value", Ar: "قيمة لا يمكن قراءتها"},
	{En: "invalid floating value", Ar: "ليس عددًا"},
	{En: "invalid url.URL value", Ar: "ليس عنوان URL صالحًا"},
	{En: "invalid value", Ar: "قيمة غير صالحة"},
	{En: "invalid date/time for format %s", Ar: "ليس تاريخًا ووقتًا بالصيغة %s"},
}...)
