package wire

import "encoding/binary"

func put16(b []byte, v uint16) []byte { return binary.LittleEndian.AppendUint16(b, v) }
func put32(b []byte, v uint32) []byte { return binary.LittleEndian.AppendUint32(b, v) }
func put64(b []byte, v uint64) []byte { return binary.LittleEndian.AppendUint64(b, v) }

// putString appends the length in 32 bits and the bytes.
func putString[S ~string | ~[]byte](b []byte, s S) []byte {
	b = put32(b, uint32(len(s)))
	return append(b, s...)
}

func putBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// reader takes metadata apart. After the first failure every call gives zero.
type reader struct {
	b   []byte
	err *Error
}

func (r *reader) failf(format string, args ...any) {
	if r.err == nil {
		r.err = Errorf(CodeProtocol, format, args...)
	}
	r.b = nil
}

func (r *reader) take(n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.b) {
		r.failf("metadata ends %d bytes early", n-len(r.b))
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.LittleEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.LittleEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (r *reader) bool() bool {
	v := r.u8()
	if v > 1 {
		r.failf("a truth value is %d, allowed are 0 and 1", v)
	}
	return v == 1
}

// str reads a string of at most limit bytes.
func (r *reader) str(limit int) string { return string(r.bytes(limit)) }

// bytes reads a byte string of at most limit bytes; the result is part of the
// frame's memory.
func (r *reader) bytes(limit int) []byte {
	n := r.u32()
	if int64(n) > int64(limit) {
		r.failf("a field declares %d bytes, limit %d", n, limit)
		return nil
	}
	return r.take(int(n))
}

// key reads a key and checks its length.
func (r *reader) key() string {
	k := r.bytes(MaxKey)
	if r.err == nil && len(k) == 0 {
		r.err = Errorf(CodeKey, "key is empty")
	}
	return string(k)
}

// size reads a byte count of at most limit.
func (r *reader) size(limit int64) int64 {
	v := r.u64()
	if v > uint64(limit) {
		r.failf("a size is %d bytes, limit %d", v, limit)
		return 0
	}
	return int64(v)
}

func (r *reader) end(what string) error {
	if r.err == nil && len(r.b) > 0 {
		r.failf("%d bytes after the metadata", len(r.b))
	}
	if r.err != nil {
		r.err.Detail = what + ": " + r.err.Detail
		return r.err
	}
	return nil
}
