package emulator

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// violations are complaints about values that break the API's model.
type violations []string

func (v *violations) pattern(field string, value *string, form *regexp.Regexp) {
	if value != nil && !form.MatchString(*value) {
		*v = append(*v, violation(*value, field, "satisfy regular expression pattern: "+form.String()))
	}
}

func (v *violations) length(field string, value *string, most int) {
	if value != nil && len(*value) > most {
		*v = append(*v, violation(*value, field, fmt.Sprintf("have length less than or equal to %d", most)))
	}
}

func (v *violations) within(field string, value *int, least, most int) {
	if value != nil && (*value < least || *value > most) {
		*v = append(*v, between(field, *value, least, most))
	}
}

func (v *violations) atMost(field string, n, most int) {
	if n > most {
		*v = append(*v, violation(n, field, fmt.Sprintf("have length less than or equal to %d", most)))
	}
}

// oneOf lets the empty value pass: it is none.
func (v *violations) oneOf(field, value string, allowed []string) {
	if value != "" && !slices.Contains(allowed, value) {
		*v = append(*v, violation(value, field, "satisfy enum value set: ["+strings.Join(allowed, ", ")+"]"))
	}
}

func (v *violations) required(field string, given bool) {
	if !given {
		*v = append(*v, missing(field))
	}
}

func violation(value any, field, must string) string {
	return fmt.Sprintf("Value '%v' at '%s' failed to satisfy constraint: Member must %s", value, field, must)
}

func between(field string, value any, least, most int) string {
	return violation(value, field, fmt.Sprintf("have value from %d to %d", least, most))
}

func missing(field string) string { return violation("null", field, "not be null") }
