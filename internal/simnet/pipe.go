package simnet

import "time"

// maxSegment is how many bytes travel as one.
const maxSegment = 64 << 10

// A segment is what travels as one: bytes, or a mark that ends the direction.
type segment struct {
	mark mark
	data []byte    // what is still unread of it
	at   time.Time // of its arrival, unless held
	held hold
}

type mark uint8

const (
	bytesMark mark = iota
	finMark        // in order end: the reader sees io.EOF
	rstMark        // reset: reader and writer see ECONNRESET
)

// hold says why a segment does not travel; zero is that it does.
type hold uint8

const (
	byCut    hold = 1 << iota // a partition or cut
	byStall                   // it was sent after a stall
	bySender                  // it was sent while the sending host was frozen
)

// pipe is one direction of a connection: segments in flight and received, in
// order of arrival. The network's lock guards it.
type pipe struct {
	net      *Net
	from, to string // hosts

	queue  []*segment
	bytes  int // in queue
	last   time.Time
	fin    *segment // once sent
	rst    *segment // once sent
	gone   bool     // the reader closed: bytes that arrive are discarded
	silent bool     // truncated: what is written further is discarded

	stalled bool // by a stall rule
}

// send appends a segment that leaves now. It takes over data.
func (p *pipe) send(m mark, data []byte) {
	if m == bytesMark && (p.silent || (p.gone && !p.blocked())) {
		return
	}
	now := time.Now()
	s := &segment{mark: m, data: data}
	s.at = now.Add(p.net.delay(p.from, p.to, len(data), now))
	if s.at.Before(p.last) {
		s.at = p.last
	}
	p.last = s.at
	if p.net.isCut(p.from, p.to) {
		s.held |= byCut
		p.net.countCut(p.from, p.to)
	}
	if p.stalled {
		s.held |= byStall
	}
	if p.net.isFrozen(p.from) {
		s.held |= bySender
	}
	p.queue = append(p.queue, s)
	p.bytes += len(data)
	switch m {
	case finMark:
		p.fin = s
	case rstMark:
		p.rst = s
	}
}

func (p *pipe) room() int { return Buffer - p.bytes }

// read moves bytes that have arrived into b.
func (p *pipe) read(b []byte, now time.Time) (n int) {
	for n < len(b) && len(p.queue) > 0 {
		s := p.queue[0]
		if s.mark != bytesMark || !s.arrived(now) {
			break
		}
		k := copy(b[n:], s.data)
		n += k
		s.data = s.data[k:]
		if len(s.data) == 0 {
			p.queue[0] = nil
			p.queue = p.queue[1:]
		}
	}
	p.bytes -= n
	return n
}

// ended returns the mark that a reader has come to, or bytesMark.
func (p *pipe) ended(now time.Time) mark {
	if p.rst != nil && len(p.queue) > 0 && p.queue[0].mark != bytesMark && p.rst.arrived(now) {
		return rstMark
	}
	if len(p.queue) > 0 && p.queue[0].arrived(now) {
		return p.queue[0].mark
	}
	return bytesMark
}

// next returns the instant at which the head of the queue arrives, zero when
// that is not known.
func (p *pipe) next() time.Time {
	if len(p.queue) == 0 {
		return time.Time{}
	}
	return p.queue[0].due()
}

// unread tells whether bytes have arrived that were not read.
func (p *pipe) unread(now time.Time) bool {
	return len(p.queue) > 0 && p.queue[0].mark == bytesMark && p.queue[0].arrived(now)
}

// abandon is called when the reader closes: bytes have nowhere to go. Those
// that a cut holds stay with the sender, whose system cannot know.
func (p *pipe) abandon() {
	p.gone = true
	kept := p.queue[:0]
	p.bytes = 0
	for _, s := range p.queue {
		if s.mark != bytesMark || s.held != 0 {
			kept = append(kept, s)
			p.bytes += len(s.data)
		}
	}
	clear(p.queue[len(kept):])
	p.queue = kept
}

func (p *pipe) blocked() bool { return p.stalled || p.net.isCut(p.from, p.to) }

// refresh holds what is in flight, or lets go what was held, after the path or
// the sender changed.
func (p *pipe) refresh(now time.Time) {
	cut, frozen := p.net.isCut(p.from, p.to), p.net.isFrozen(p.from)
	for _, s := range p.queue {
		was := s.held
		if cut && s.held&byCut == 0 && !s.arrived(now) {
			s.held |= byCut
			p.net.countCut(p.from, p.to)
		}
		if !cut {
			s.held &^= byCut
		}
		if !p.stalled {
			s.held &^= byStall
		}
		if !frozen {
			s.held &^= bySender
		}
		if was != 0 && s.held == 0 {
			s.at = laterOf(s.at, now)
		}
	}
	if p.gone && !p.blocked() {
		p.abandon()
	}
}

func (s *segment) arrived(now time.Time) bool { return s.held == 0 && !s.at.After(now) }

// due returns when s arrives, zero when it is held.
func (s *segment) due() time.Time {
	if s == nil || s.held != 0 {
		return time.Time{}
	}
	return s.at
}

// ahead returns when s arrives if that is after now, otherwise zero.
func (s *segment) ahead(now time.Time) time.Time {
	if at := s.due(); at.After(now) {
		return at
	}
	return time.Time{}
}

// earlierOf returns the earlier instant; zero stands for never.
func earlierOf(a, b time.Time) time.Time {
	if a.IsZero() || (!b.IsZero() && b.Before(a)) {
		return b
	}
	return a
}

func laterOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
