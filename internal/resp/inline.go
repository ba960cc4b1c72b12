package resp

// inline splits a line into words as Redis does: blanks separate; "..." takes
// \n \r \t \b \a \xHH and \ before any other byte; '...' takes only \'.
type inline struct {
	words [][]byte // into text, which the next line overwrites
	text  []byte
}

func (in *inline) split(line []byte) error {
	line = line[:len(line)-1]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	in.words = in.words[:0]
	if cap(in.text) < len(line) {
		in.text = make([]byte, 0, len(line)) // no word is longer than its spelling
	}
	in.text = in.text[:0]
	for {
		for len(line) > 0 && isBlank(line[0]) {
			line = line[1:]
		}
		if len(line) == 0 {
			return nil
		}
		start := len(in.text)
		rest, ok := in.word(line)
		if !ok {
			return &ProtocolError{Reason: "unbalanced quotes in request"}
		}
		in.words = append(in.words, in.text[start:])
		line = rest
	}
}

// word appends the first word of line to in.text and returns what follows it.
func (in *inline) word(line []byte) (rest []byte, ok bool) {
	for len(line) > 0 && !isBlank(line[0]) {
		c := line[0]
		line = line[1:]
		if c != '"' && c != '\'' {
			in.text = append(in.text, c)
			continue
		}
		if line, ok = in.quoted(line, c); !ok {
			return nil, false
		}
		// A closing quote ends the word: "a"b is an error.
		return line, len(line) == 0 || isBlank(line[0])
	}
	return line, true
}

// quoted appends up to the closing quote and returns what follows that.
func (in *inline) quoted(line []byte, quote byte) (rest []byte, ok bool) {
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == quote:
			return line[i+1:], true
		case c != '\\' || i+1 == len(line):
			in.text = append(in.text, c)
		case quote == '\'':
			if line[i+1] == '\'' {
				i++
			}
			in.text = append(in.text, line[i])
		case line[i+1] == 'x' && i+3 < len(line) && isHex(line[i+2]) && isHex(line[i+3]):
			in.text = append(in.text, unhex(line[i+2])<<4|unhex(line[i+3]))
			i += 3
		default:
			i++
			in.text = append(in.text, unescape(line[i]))
		}
	}
	return nil, false
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func isBlank(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r' || c == 0
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
