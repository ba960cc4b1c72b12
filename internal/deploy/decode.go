package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/infinicache/infinicache/internal/bytesize"
)

// Fault is a field of a pool file that cannot be read.
type Fault struct {
	Field string // such as vpc.subnets
	Line  int    // where the field begins that it is in; 0 if that is not known
	What  string // was found, and what is allowed
}

func (f *Fault) Error() string {
	if f.Line == 0 {
		return f.Field + ": " + f.What
	}
	return fmt.Sprintf("line %d: %s: %s", f.Line, f.Field, f.What)
}

// Strict and Plain read one field for Decode. To Plain a number is a text where one is
// wanted; to Strict only in quotes.
var (
	Strict = func(text []byte, into any) error {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		return d.Decode(into)
	}
	Plain = func(text []byte, into any) error { return yaml.UnmarshalStrict(text, into) }
)

// Decode reads YAML into a struct with JSON tags, field by field, so that one that is
// wrong does not hide others: the faults, in the order of lines, are of fields that are
// not known or not of the type that is wanted. The error is about the
// text as a whole, or a field that is given twice.
func Decode(text []byte, into any, read func(text []byte, into any) error) ([]*Fault, error) {
	given, err := fieldsOf(text)
	if err != nil {
		return nil, err
	}
	known := knownFields(reflect.TypeOf(into).Elem())
	var faults []*Fault
	for _, name := range slices.Sorted(maps.Keys(given)) {
		fault := &Fault{Field: name, What: "no such field"}
		if wanted := known[name]; wanted != nil {
			alone, err := json.Marshal(map[string]json.RawMessage{name: given[name]})
			if err == nil {
				err = read(alone, into)
			}
			if err == nil {
				continue
			}
			fault.explain(given[name], wanted, err)
		}
		fault.Line = lineOf(text, name)
		faults = append(faults, fault)
	}
	slices.SortStableFunc(faults, func(a, b *Fault) int { return a.Line - b.Line })
	return faults, nil
}

// PlatformOf reads no more of a pool file than the platform's name.
func PlatformOf(text []byte) (string, error) {
	fields, err := fieldsOf(text)
	if err != nil {
		return "", err
	}
	if kindOf(fields["platform"]) == "null" {
		return "", errors.New("platform: none given")
	}
	var name string
	if err := json.Unmarshal(fields["platform"], &name); err != nil || name == "" {
		return "", &Fault{"platform", lineOf(text, "platform"), shown(fields["platform"]) + " given, a platform's name allowed"}
	}
	return name, nil
}

// twiceForm is how the YAML reader tells of a key that is given twice.
var twiceForm = regexp.MustCompile(`(?m)^ *line (\d+): key "(.*)" already set in map$`)

// fieldsOf reads YAML as what it says of each field, in JSON.
func fieldsOf(text []byte) (map[string]json.RawMessage, error) {
	inJSON, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		var twice []error
		for _, found := range twiceForm.FindAllStringSubmatch(err.Error(), -1) {
			line, _ := strconv.Atoi(found[1])
			twice = append(twice, &Fault{found[2], line, "given twice, once allowed"})
		}
		if len(twice) > 0 {
			return nil, errors.Join(twice...)
		}
		return nil, err
	}
	if line := secondDocument(text); line > 0 {
		return nil, fmt.Errorf("line %d: another document begins, one allowed", line)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(inJSON, &fields); err != nil {
		return nil, errors.New("lines such as nodes: 40 wanted, something else given")
	}
	return fields, nil
}

// secondDocument is the line where a document begins that the YAML reader passes over;
// 0 if there is none.
func secondDocument(text []byte) int {
	begun := false
	for i, line := range bytes.Split(text, []byte("\n")) {
		marker := bytes.HasPrefix(line, []byte("---"))
		if marker && begun {
			return i + 1
		}
		begun = begun || !marker && len(bytes.TrimSpace(line)) > 0 && line[0] != '#' && line[0] != '%'
	}
	return 0
}

// lineOf is the line in which a field begins, if it begins one; else 0.
func lineOf(text []byte, name string) int {
	at := regexp.MustCompile(`(?m)^["']?` + regexp.QuoteMeta(name) + `["']?\s*:`).FindIndex(text)
	if at == nil {
		return 0
	}
	return 1 + bytes.Count(text[:at[0]], []byte("\n"))
}

// knownFields are a struct's fields by their JSON names, those of embedded structs
// included.
func knownFields(t reflect.Type) map[string]reflect.Type {
	known := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			known[name] = f.Type
		}
	}
	return known
}

// explain says what a reader found in the value of a field that is wanted to be of a
// type.
func (f *Fault) explain(value json.RawMessage, wanted reflect.Type, err error) {
	var wrong *json.UnmarshalTypeError
	_, unknown, isUnknown := strings.Cut(err.Error(), "unknown field ")
	switch {
	case isUnknown:
		f.Field += "." + strings.Trim(unknown, `"`)
	case reflect.PointerTo(wanted).Implements(reflect.TypeFor[json.Unmarshaler]()):
		f.wants(value, wanted)
	case errors.As(err, &wrong):
		_, below, _ := strings.Cut(wrong.Field, f.Field+".")
		f.wants(f.descend(value, below, wrong.Value), wrong.Type)
	default:
		f.What = err.Error()
	}
}

// descend goes to the value that is of the wrong kind: along a path of fields, then to
// the first element of that kind.
func (f *Fault) descend(value json.RawMessage, path, kind string) json.RawMessage {
	for _, name := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' }) {
		var fields map[string]json.RawMessage
		if json.Unmarshal(value, &fields) == nil {
			f.Field += "." + name
			value = fields[name]
		}
	}
	kind, _, _ = strings.Cut(kind, " ") // of "number 1.5"
	var list []json.RawMessage
	var fields map[string]json.RawMessage
	switch {
	case kindOf(value) == kind:
	case json.Unmarshal(value, &list) == nil:
		if i := slices.IndexFunc(list, func(v json.RawMessage) bool { return kindOf(v) == kind }); i >= 0 {
			f.Field += fmt.Sprintf("[%d]", i)
			return list[i]
		}
	case json.Unmarshal(value, &fields) == nil:
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			if kindOf(fields[key]) == kind {
				f.Field += "." + key
				return fields[key]
			}
		}
	}
	return value
}

func (f *Fault) wants(value json.RawMessage, wanted reflect.Type) {
	f.What = fmt.Sprintf("%s given, %s allowed", shown(value), plain(wanted))
	if kind := kindOf(value); wanted.Kind() == reflect.String && (kind == "number" || kind == "bool") {
		f.What += "; if it is meant, put it in quotes"
	}
}

// kindOf is what encoding/json calls a value.
func kindOf(value json.RawMessage) string {
	switch {
	case len(value) == 0, value[0] == 'n':
		return "null"
	case value[0] == '[':
		return "array"
	case value[0] == '{':
		return "object"
	case value[0] == '"':
		return "string"
	case value[0] == 't', value[0] == 'f':
		return "bool"
	}
	return "number"
}

// shown is a value for people.
func shown(value json.RawMessage) string {
	switch kindOf(value) {
	case "null":
		return "nothing"
	case "array":
		return "a list"
	case "object":
		return "a mapping"
	}
	return fmt.Sprintf("%.60s", value)
}

// plain names a type for people who write pool files.
func plain(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[bytesize.Bytes]():
		return "a number of bytes like 256MiB"
	case t.Name() == "Duration":
		return "a time like 90s"
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "a mapping"
	}
	return "a " + t.Kind().String()
}
