package redis

// globMatch matches s with a pattern of Redis: * for any bytes, ? for one,
// [abc], [a-z] and [^a] for one of a class, \ before a byte that means itself.
// fold ignores the case of ASCII letters. It takes at most time proportional to
// the product of both lengths.
func globMatch(pattern, s string, fold bool) bool {
	star, mark := -1, 0 // the last * in pattern, and how far in s it reaches
	p, i := 0, 0
	for i < len(s) {
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, i
			p++
			continue
		}
		if n, ok := globOne(pattern[p:], s[i], fold); ok {
			p += n
			i++
			continue
		}
		if star < 0 {
			return false
		}
		// Let the last * take one byte more. An earlier * need not be asked: what
		// this one may take includes what that one could have left.
		mark++
		p, i = star+1, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// globOne matches one byte with the first element of pattern, whose length it
// returns.
func globOne(pattern string, b byte, fold bool) (n int, ok bool) {
	switch {
	case pattern == "":
		return 0, false
	case pattern[0] == '?':
		return 1, true
	case pattern[0] == '[':
		return globClass(pattern, b, fold)
	case pattern[0] == '\\' && len(pattern) > 1:
		return 2, same(pattern[1], b, fold)
	}
	return 1, same(pattern[0], b, fold)
}

// globClass matches b with the class that pattern begins with. A class without
// an end goes to the end of the pattern, as in Redis.
func globClass(pattern string, b byte, fold bool) (n int, ok bool) {
	i := 1
	not := i < len(pattern) && pattern[i] == '^'
	if not {
		i++
	}
	found := false
	for i < len(pattern) && pattern[i] != ']' {
		switch {
		case pattern[i] == '\\' && i+1 < len(pattern):
			i++
			found = found || same(pattern[i], b, fold)
		case i+2 < len(pattern) && pattern[i+1] == '-':
			lo, hi := lowerIf(pattern[i], fold), lowerIf(pattern[i+2], fold)
			c := lowerIf(b, fold)
			found = found || min(lo, hi) <= c && c <= max(lo, hi)
			i += 2
		default:
			found = found || same(pattern[i], b, fold)
		}
		i++
	}
	return min(i+1, len(pattern)), found != not
}

func same(a, b byte, fold bool) bool { return lowerIf(a, fold) == lowerIf(b, fold) }

func lowerIf(b byte, fold bool) byte {
	if fold && b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}
