package spawn

// Keep sees to it that the Spawner still has the state directory: when that was deleted or replaced under it, it is made and
// locked anew. The error says that it could not be had; it wraps ErrInUse if another manager has it by now.
func (s *Spawner) Keep() error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.guard()
}
