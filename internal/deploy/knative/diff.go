package knative

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/infinicache/infinicache/internal/deploy"
)

// serverOwned are the fields that the API server sets by itself.
var serverOwned = []string{
	"status", "metadata.managedFields", "metadata.resourceVersion", "metadata.generation", "metadata.uid",
	"metadata.creationTimestamp", "metadata.annotations.serving.knative.dev/lastModifier",
}

// different are the fields in which the second object differs from the first, in
// the order of their names.
func different(before, after *unstructured.Unstructured) []deploy.Field {
	old, now := map[string]string{}, map[string]string{}
	flatten(old, "", before.Object)
	flatten(now, "", after.Object)
	for path := range old {
		if _, ok := now[path]; !ok {
			now[path] = "none"
		}
	}
	var all []deploy.Field
	for path, to := range sorted(now) {
		from, ok := old[path]
		if !ok {
			from = "none"
		}
		if from != to && !slices.ContainsFunc(serverOwned, func(own string) bool { return within(path, own) }) {
			all = append(all, changedLines(path, from, to))
		}
	}
	return all
}

// changedLines is a change of a field; of a text of many lines it has only those that
// are in one of the two.
func changedLines(path, from, to string) deploy.Field {
	if !strings.Contains(from, "\n") || !strings.Contains(to, "\n") {
		return deploy.Field{Name: path, From: from, To: to}
	}
	old, now := strings.Split(from, "\n"), strings.Split(to, "\n")
	but := func(lines, others []string) string {
		own := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return slices.Contains(others, line) })
		return cmp.Or(strings.Join(own, ", "), "none")
	}
	return deploy.Field{Name: path, From: but(old, now), To: but(now, old)}
}

// within tells whether a path is of a field or of what is in it.
func within(path, field string) bool {
	rest, ok := strings.CutPrefix(path, field)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// flatten writes what is in a value as text by its path. An element of a list has
// its name in the path, where it has one.
func flatten(into map[string]string, path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			flatten(into, strings.TrimPrefix(path+"."+key, "."), inner)
		}
	case []any:
		for i, inner := range v {
			at := fmt.Sprintf("%s[%d]", path, i)
			if fields, ok := inner.(map[string]any); ok && fields["name"] != nil {
				at = fmt.Sprintf("%s[%v]", path, fields["name"])
			}
			flatten(into, at, inner)
		}
	default:
		into[path] = fmt.Sprint(v)
	}
}

// restarts tells whether such changes of an object replace its pods.
func restarts(fields []deploy.Field) bool {
	return slices.ContainsFunc(fields, func(f deploy.Field) bool { return within(f.Name, "spec.template") })
}
