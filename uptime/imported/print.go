package imported

import (
	"bytes"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"manus/uptime"
)

// YAML is the list of monitors for manus.yaml. What there is to say of each stands above it.
func (i Import) YAML() ([]byte, error) {
	var text bytes.Buffer
	comment(&text, "", i.about()...)
	text.WriteString("monitors:")
	if !i.anything() {
		text.WriteString(" []")
	}
	text.WriteString("\n")
	for _, m := range i.Monitors {
		if m.LeftOut != "" {
			comment(&text, "LEFT OUT: ", quoted(m.Name)+": "+m.LeftOut)
			continue
		}
		comment(&text, "LOOK: ", m.Look...)
		comment(&text, "", m.Notes...)
		node, err := encoded(m.Monitor)
		if err != nil {
			return nil, err
		}
		encoder := yaml.NewEncoder(&text)
		encoder.SetIndent(2)
		if err := encoder.Encode([]*yaml.Node{node}); err != nil {
			return nil, err
		}
		if err := encoder.Close(); err != nil {
			return nil, err
		}
	}
	return text.Bytes(), nil
}

func (i Import) anything() bool {
	for _, m := range i.Monitors {
		if m.LeftOut == "" {
			return true
		}
	}
	return false
}

// comment writes lines that are none of the list, whatever is in them.
func comment(text *bytes.Buffer, label string, lines ...string) {
	for _, l := range lines {
		text.WriteString("# " + label + line("%s", l) + "\n")
	}
}

// encoded is a monitor without what it says nothing about.
func encoded(m uptime.Monitor) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.MappingNode}
	fields := reflect.ValueOf(m)
	for i := range fields.NumField() {
		key, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("yaml"), ",")
		if key == "" || key == "-" || fields.Field(i).IsZero() {
			continue
		}
		value, err := encodedValue(fields.Field(i).Interface())
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, value)
	}
	return node, nil
}

// encodedValue is a value as people write it.
func encodedValue(value any) (*yaml.Node, error) {
	node := &yaml.Node{}
	switch v := value.(type) {
	case time.Duration:
		return node, node.Encode(uptime.Period(v))
	case *[]time.Duration:
		texts := []string{}
		for _, d := range *v {
			texts = append(texts, uptime.Period(d))
		}
		err := node.Encode(texts)
		node.Style = yaml.FlowStyle
		return node, err
	case uptime.Auth:
		err := node.Encode(struct {
			Type string `yaml:"type"`
			User string `yaml:"user,omitempty"`
		}(v))
		node.Style = yaml.FlowStyle
		return node, err
	case string:
		err := node.Encode(v)
		if strings.ContainsAny(v, "\n\r\t") {
			node.Style = yaml.DoubleQuotedStyle
		}
		return node, err
	}
	return node, node.Encode(value)
}
