package resp

// AppendSimple appends a short status such as OK. Line ends in it become
// spaces.
func AppendSimple(dst []byte, s string) []byte {
	return appendLine(dst, '+', s)
}

// AppendError appends an error: a code in capitals, a space and a sentence.
// Line ends in it become spaces, so that a client's bytes quoted in an error
// cannot forge a reply.
func AppendError(dst []byte, s string) []byte {
	return appendLine(dst, '-', s)
}

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte {
	return appendHeader(dst, ':', n)
}

// AppendBulk appends a string of any bytes.
func AppendBulk[T ~string | ~[]byte](dst []byte, s T) []byte {
	dst = AppendBulkHeader(dst, int64(len(s)))
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

// AppendBulkHeader appends what comes before the n bytes of a bulk string; the
// bytes and a line end have to follow.
func AppendBulkHeader(dst []byte, n int64) []byte {
	return appendHeader(dst, '$', n)
}

// AppendArray appends the start of an array; n replies have to follow.
func AppendArray(dst []byte, n int) []byte {
	return appendHeader(dst, '*', int64(n))
}

// AppendNull appends the value that is not there.
func (v Version) AppendNull(dst []byte) []byte {
	if v == V3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

// AppendNullArray appends the array that is not there.
func (v Version) AppendNullArray(dst []byte) []byte {
	if v == V3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "*-1\r\n"...)
}

// AppendMap appends the start of a map; n keys, each with its value, have to
// follow. Version 2 knows only arrays, of twice the length.
func (v Version) AppendMap(dst []byte, n int) []byte {
	if v == V3 {
		return appendHeader(dst, '%', int64(n))
	}
	return AppendArray(dst, 2*n)
}

// AppendSet appends the start of a set; n replies have to follow. In version 2
// it is an array.
func (v Version) AppendSet(dst []byte, n int) []byte {
	if v == V3 {
		return appendHeader(dst, '~', int64(n))
	}
	return AppendArray(dst, n)
}

// AppendText appends text meant for people: a verbatim string in version 3, a
// bulk string in version 2.
func (v Version) AppendText(dst []byte, s string) []byte {
	if v != V3 {
		return AppendBulk(dst, s)
	}
	dst = appendHeader(dst, '=', int64(len(s)+4))
	dst = append(dst, "txt:"...)
	dst = append(dst, s...)
	return append(dst, '\r', '\n')
}

func appendLine(dst []byte, kind byte, s string) []byte {
	dst = append(dst, kind)
	start := len(dst)
	dst = append(dst, s...)
	for i := start; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return append(dst, '\r', '\n')
}
