package imported

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"

	"manus/uptime/probe"
)

// quotedJSON is a text as JSON has it.
func quotedJSON(text string) string {
	quoted, _ := json.Marshal(text) // of a text always is
	return string(quoted)
}

// gatusCondition adds what a condition of Gatus means.
func (d *draft) gatusCondition(text string) {
	left, operator, right := parted(text)
	if operator == "" {
		d.lookAt("the condition %s can't be read: write it under expect", quoted(text))
		return
	}
	if !isPlaceholder(left) && isPlaceholder(right) {
		left, right, operator = right, left, turned[operator]
	}
	upper := strings.ToUpper(left)
	switch {
	case upper == "[CONNECTED]" && operator == "==" && right == "true": // or it isn't up
		return
	case upper == "[DOMAIN_EXPIRATION]":
		d.domain = true
		d.note("when the domain expires is a monitor of its own")
		return
	}
	if condition := d.translated(left, operator, right); condition != "" {
		d.Expect = append(d.Expect, condition)
		return
	}
	d.lookAt("the condition %s can't be taken over: write what is to hold under expect", quoted(text))
}

var turned = map[string]string{"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

// parted finds the operator, in the order in which Gatus looks for them.
func parted(text string) (left, operator, right string) {
	for _, operator := range []string{"==", "!=", "<=", ">=", ">", "<"} {
		if left, right, found := strings.Cut(text, " "+operator+" "); found {
			return strings.TrimSpace(left), operator, strings.TrimSpace(right)
		}
	}
	return "", "", ""
}

func isPlaceholder(text string) bool {
	inner, _ := called(text, "len", "has", "age")
	return strings.HasPrefix(inner, "[")
}

// called takes the name of a function off what it is called with.
func called(text string, names ...string) (inner, name string) {
	for _, name := range names {
		if inner, found := strings.CutPrefix(text, name+"("); found && strings.HasSuffix(inner, ")") {
			return strings.TrimSpace(strings.TrimSuffix(inner, ")")), name
		}
	}
	return text, ""
}

// translated is a condition in our words; empty where there are none.
func (d *draft) translated(left, operator, right string) string {
	inner, function := called(left, "len", "has", "age")
	subject, kind := d.subject(inner)
	switch {
	case kind == "" || function == "age":
		return ""
	case function == "has":
		return has(subject, kind, operator, right)
	case function == "len":
		if kind == "body" {
			subject = "json"
		}
		return "len(" + subject + ") " + operator + " " + right
	}
	if other, kind := d.subject(right); kind != "" {
		return subject + " " + operator + " " + other
	}
	value, name := called(right, "pat", "any")
	holds := ""
	switch name {
	case "pat":
		holds = fits(subject, kind, value)
	case "any":
		holds = oneOf(subject, kind, strings.Split(value, ","))
	default:
		return plain(subject, kind, operator, value)
	}
	switch {
	case holds == "" || operator != "==" && operator != "!=":
		return ""
	case operator == "!=":
		return "!(" + holds + ")"
	}
	return holds
}

// subject is what a placeholder is called here, and the kind of its values; that is empty where
// there is no such thing.
func (d *draft) subject(placeholder string) (subject, kind string) {
	upper := strings.ToUpper(placeholder)
	switch upper {
	case "[STATUS]":
		return "status", "number"
	case "[RESPONSE_TIME]":
		return "latency", "span"
	case "[CERTIFICATE_EXPIRATION]":
		return "certificate.days", "days"
	case "[DNS_RCODE]":
		return "dns.rcode", "text"
	case "[BODY]":
		if d.Type == probe.DNS {
			return "dns.answer", "list"
		}
		return "body", "body"
	}
	if name, found := strings.CutPrefix(placeholder, "[HEADER]."); found {
		return "header[" + strconv.Quote(name) + "]", "text"
	}
	if strings.HasPrefix(upper, "[BODY].") || strings.HasPrefix(upper, "[BODY][") {
		if path, ok := jsonPath(placeholder[len("[BODY]"):]); ok {
			return path, "json"
		}
	}
	return "", ""
}

// step is one of a path in JSON.
var step = regexp.MustCompile(`^(?:\.?([^.\[\]"]+)|\.?\[(\d{1,6}|\*)\])`)

// jsonPath is a path in our words.
func jsonPath(path string) (string, bool) {
	text := "json"
	for path = strings.TrimSpace(path); path != ""; {
		found := step.FindStringSubmatch(path)
		switch {
		case found == nil:
			return "", false
		case found[2] != "":
			text += "[" + found[2] + "]"
		case plainName.MatchString(found[1]):
			text += "." + found[1]
		default:
			text += "[" + strconv.Quote(found[1]) + "]"
		}
		path = path[len(found[0]):]
	}
	return text, true
}

var plainName = regexp.MustCompile(`^[A-Za-z_][\w-]*$`)

// has is whether there is something.
func has(subject, kind, operator, right string) string {
	there := (right == "true") == (operator == "==")
	switch {
	case operator != "==" && operator != "!=" || right != "true" && right != "false" || kind != "json" && kind != "text" && kind != "body":
		return ""
	case kind == "body" && there:
		return "len(body) > 0"
	case kind == "body":
		return "len(body) == 0"
	case there:
		return subject + " != null"
	}
	return subject + " == null"
}

// plain compares with a value.
func plain(subject, kind, operator, value string) string {
	switch kind {
	case "span":
		return subject + " " + operator + " " + span(value)
	case "days":
		d, err := time.ParseDuration(span(value))
		if err != nil {
			return ""
		}
		return subject + " " + operator + " " + strconv.FormatFloat(d.Hours()/24, 'f', -1, 64)
	case "list":
		if operator == "!=" {
			return "!(dns.answer contains " + strconv.Quote(value) + ")"
		}
		if operator == "==" {
			return "dns.answer contains " + strconv.Quote(value)
		}
		return ""
	case "json":
		return compared(subject, operator, milliseconds(operator, value))
	case "text", "body":
		return subject + " " + operator + " " + strconv.Quote(value)
	}
	return subject + " " + operator + " " + value
}

// span is a span of time with its unit, which Gatus leaves out of milliseconds.
func span(value string) string {
	if _, err := strconv.ParseFloat(value, 64); err == nil {
		return value + "ms"
	}
	return value
}

// milliseconds are what a span of time is that a number is compared with.
func milliseconds(operator, value string) string {
	if d, err := time.ParseDuration(value); err == nil && d != 0 && operator != "==" && operator != "!=" {
		return strconv.FormatInt(d.Milliseconds(), 10)
	}
	return value
}

// fits is whether something fits a pattern, in which * is whatever stands there.
func fits(subject, kind, pattern string) string {
	switch kind {
	case "number":
		begins := strings.TrimSuffix(pattern, "*")
		n, err := strconv.Atoi(begins)
		if err != nil || len(begins) >= 3 || begins == pattern {
			return ""
		}
		from, until := n, n+1
		for range 3 - len(begins) {
			from, until = from*10, until*10
		}
		return subject + " >= " + strconv.Itoa(from) + " && " + subject + " < " + strconv.Itoa(until)
	case "json", "text", "body":
		if part := strings.Trim(pattern, "*"); pattern == "*"+part+"*" && part != "" && !strings.ContainsAny(part, "*?") {
			return subject + " contains " + strconv.Quote(part)
		}
		expression := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		return subject + " matches " + strconv.Quote("(?s)^"+expression+"$")
	}
	return ""
}

// oneOf is whether something is one of several values.
func oneOf(subject, kind string, values []string) string {
	var all []string
	for _, value := range values {
		value = strings.TrimSpace(value)
		number, isNumber := literal(value)
		switch {
		case kind == "number":
			all = append(all, value)
		case kind == "json" && isNumber:
			all = append(all, number, strconv.Quote(value))
		default:
			all = append(all, strconv.Quote(value))
		}
	}
	switch kind {
	case "list":
		for i := range all {
			all[i] = subject + " contains " + all[i]
		}
		return strings.Join(all, " || ")
	case "number", "json", "text", "body":
		return subject + " in [" + strings.Join(all, ", ") + "]"
	}
	return ""
}
