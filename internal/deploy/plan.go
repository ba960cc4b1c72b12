package deploy

import (
	"fmt"
	"io"
)

// Action is what a Change does.
type Action string

const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Change is one thing that a deployment creates, updates or deletes.
type Change struct {
	Action Action  `json:"action"`
	Kind   string  `json:"kind"` // of the thing, such as function
	Name   string  `json:"name"`
	Fields []Field `json:"fields,omitempty"` // of an update: what differs; of others may be empty
}

// Field is one property of a thing, as text.
type Field struct {
	Name string `json:"name"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

var signs = map[Action]string{Create: "+", Update: "~", Delete: "-"}

// WritePlan writes changes for people, a line each and one for each field.
func WritePlan(w io.Writer, plan []Change) error {
	count := map[Action]int{}
	for _, c := range plan {
		count[c.Action]++
		if _, err := fmt.Fprintf(w, "%s %s %s %s\n", signs[c.Action], c.Action, c.Kind, c.Name); err != nil {
			return err
		}
		for _, f := range c.Fields {
			line := fmt.Sprintf("      %s: %s -> %s\n", f.Name, f.From, f.To)
			if f.From == "" {
				line = fmt.Sprintf("      %s: %s\n", f.Name, f.To)
			}
			if _, err := io.WriteString(w, line); err != nil {
				return err
			}
		}
	}
	if len(plan) == 0 {
		_, err := fmt.Fprintln(w, "nothing to change")
		return err
	}
	_, err := fmt.Fprintf(w, "%d to create, %d to update, %d to delete\n", count[Create], count[Update], count[Delete])
	return err
}
