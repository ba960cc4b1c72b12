package simcache

import (
	"slices"
	"time"
)

// Notice tells the instances of a node that the platform ends them when so much
// time is over: no session is given to them any more, one that is frozen is
// thawed, and what is left of them then is taken away. It says how many there
// were.
func (p *Platform) Notice(number int, left time.Duration) int {
	p.mu.Lock()
	told := p.instances[number]
	p.instances[number] = nil
	p.mu.Unlock()
	p.tell(told, left)
	return len(told)
}

// NoticeOne is Notice to one instance, the n-th of those that Instances lists.
func (p *Platform) NoticeOne(number, n int, left time.Duration) {
	p.mu.Lock()
	told := p.instances[number][n]
	p.instances[number] = slices.Delete(slices.Clone(p.instances[number]), n, n+1)
	p.mu.Unlock()
	p.tell([]*Instance{told}, left)
}

func (p *Platform) tell(told []*Instance, left time.Duration) {
	p.mu.Lock()
	for _, i := range told {
		i.leaving = true
		p.told[i.Node] = append(p.told[i.Node], i)
	}
	p.happened[Noticed] += len(told)
	p.mu.Unlock()
	for _, i := range told {
		p.net.Thaw(i.Host)
		p.work.Go(func() { p.lastWords(i, left) })
	}
}

// lastWords lets an instance live until it has nothing left to do, and not longer
// than it has.
func (p *Platform) lastWords(i *Instance, left time.Duration) {
	over := time.After(left)
	done := make(chan struct{})
	p.work.Go(func() {
		i.run.Notice(left)
		close(done)
	})
	select {
	case <-over:
	case <-done:
	case <-p.life.Done():
	}
	p.mu.Lock()
	i.gone = true
	p.told[i.Node] = slices.DeleteFunc(p.told[i.Node], func(o *Instance) bool { return o == i })
	if i.busy {
		i.cancel(errGone)
	}
	p.mu.Unlock()
	p.net.Drop(i.Host)
	p.net.Thaw(i.Host)
	i.shut()
}
