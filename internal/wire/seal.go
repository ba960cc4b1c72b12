package wire

// Seal says that an object's bytes were encrypted before they were cut into
// stripes, and with what. It is no secret. The zero Seal is that of bytes as they
// are; packages that do not encrypt see in it only whether it is zero.
type Seal struct {
	Key  [8]byte  // names the key
	Salt [16]byte // random, of this version alone
}

const (
	// sealFormat is how sealed bytes are laid out; see package seal.
	sealFormat = 1
	// sealed is the bit, in the byte of d, of metadata that ends in a Seal: d
	// itself is at most MaxChunks. So what is not sealed is written as it was
	// before there were seals.
	sealed = 0x80
)

// flag is the bit of s in the byte of d.
func (s Seal) flag() uint8 {
	if s == (Seal{}) {
		return 0
	}
	return sealed
}

func (s Seal) put(b []byte) []byte {
	if s == (Seal{}) {
		return b
	}
	b = append(b, sealFormat)
	b = append(b, s.Key[:]...)
	return append(b, s.Salt[:]...)
}

// seal takes the flag off the byte of d and reads the Seal that it promises.
func (r *reader) seal(data *uint8) (s Seal) {
	if *data&sealed == 0 {
		return s
	}
	*data &^= sealed
	if format := r.u8(); r.err == nil && format != sealFormat {
		r.failf("the seal's format is %d, this program knows %d", format, sealFormat)
	}
	copy(s.Key[:], r.take(len(s.Key)))
	copy(s.Salt[:], r.take(len(s.Salt)))
	if r.err == nil && s == (Seal{}) {
		r.failf("the seal is empty")
	}
	return s
}
