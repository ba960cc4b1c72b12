package infinicache

// UseUpStreams has every open link's next stream be the last but n.
func (c *Client) UseUpStreams(n uint32) {
	for _, p := range c.proxies {
		p.mu.Lock()
		conn := p.conn
		p.mu.Unlock()
		conn.mu.Lock()
		conn.last = 1<<32 - 1 - n
		conn.mu.Unlock()
	}
}

// MemoryInUse is how many bytes of Config.Memory are taken.
func (c *Client) MemoryInUse() int64 { return c.buffers.InUse() }
