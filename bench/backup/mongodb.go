package main

func (b *bench) mongodb(int) error { return nil }
