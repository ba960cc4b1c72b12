package emulator

import (
	"maps"
	"strings"
	"time"
	"unicode/utf8"
)

const maxTags = 50

func (e *Emulator) tagResource(r request) (any, *fault) {
	var in struct{ Tags map[string]string }
	if f := r.decode(&in); f != nil {
		return nil, f
	}
	if in.Tags == nil {
		return nil, invalid([]string{missing("tags")})
	}
	return e.retag(r, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

func (e *Emulator) untagResource(r request) (any, *fault) {
	keys := r.URL.Query()["tagKeys"]
	if len(keys) == 0 {
		return nil, invalid([]string{missing("tagKeys")})
	}
	return e.retag(r, func(tags map[string]string) {
		for _, key := range keys {
			delete(tags, key)
		}
	})
}

// retag changes a function's tags, unless they are not allowed afterwards.
func (e *Emulator) retag(r request, change func(tags map[string]string)) (any, *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn, f := e.tagged(r)
	if f != nil {
		return nil, f
	}
	tags := make(map[string]string, len(fn.tags)+1)
	maps.Copy(tags, fn.tags)
	change(tags)
	if f := checkTags(tags); f != nil {
		return nil, f
	}
	fn.tags = tags
	return nil, nil
}

func (e *Emulator) listTags(r request) (any, *fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	fn, f := e.tagged(r)
	if f != nil {
		return nil, f
	}
	out := struct{ Tags map[string]string }{map[string]string{}}
	maps.Copy(out.Tags, fn.tags)
	return out, nil
}

// tagged finds the function whose ARN a request names. The caller holds e.mu.
func (e *Emulator) tagged(r request) (*function, *fault) {
	arn := r.PathValue("arn")
	name, ok := strings.CutPrefix(arn, functionARN(""))
	if !ok {
		return nil, badParameter("%s is not the ARN of a function of this account", arn)
	}
	fn := e.byName[name]
	if fn == nil {
		return nil, functionNotFound(name)
	}
	e.settle(fn, time.Now())
	return fn, nil
}

func checkTags(tags map[string]string) *fault {
	if len(tags) > maxTags {
		return badParameter("Function has %d tags, at most %d are allowed", len(tags), maxTags)
	}
	for k, v := range tags {
		if k == "" || utf8.RuneCountInString(k) > 128 || utf8.RuneCountInString(v) > 256 || strings.HasPrefix(strings.ToLower(k), "aws:") {
			return badParameter("Tag %q: keys have 1 to 128 characters and do not begin with aws:, values have up to 256", k)
		}
	}
	return nil
}
