package main

import (
	"encoding/binary"
	"errors"
)

// An outline is the part of a module that a runtime needs when it has the machine code.
type outline struct {
	module []byte // its functions trap at once, it has no debug information but the names of functions
	memory uint64 // bytes of its memory at first; 0: it has none of its own
	image  []byte // what the memory begins with; nil: the module still holds its data
}

const (
	sectionCustom, sectionMemory, sectionCode, sectionData, sectionDataCount = 0, 5, 10, 11, 12

	wasmHeader = 8       // bytes
	wasmPage   = 1 << 16 // bytes
)

var errOutline = errors.New("the module has an unknown form")

// outlineOf takes apart a module that has been validated. Decoding and validating forty thousand segments of data and
// the code of a Go program takes longer than all the rest of a start.
func outlineOf(module []byte) (o outline, err error) {
	if len(module) < wasmHeader {
		return o, errOutline
	}
	o.module = append(o.module, module[:wasmHeader]...)
	counted := false // segments of data may be used by number
	for rest := reader(module[wasmHeader:]); len(rest) > 0; {
		id := rest.byte()
		body, ok := rest.bytes()
		if !ok {
			return o, errOutline
		}
		content := body
		switch id {
		case sectionCustom:
			if name, _ := content.bytes(); string(name) != "name" {
				continue
			}
		case sectionMemory:
			if content.uint() == 1 {
				_ = content.uint() // whether it has a maximum
				o.memory = content.uint() * wasmPage
			}
		case sectionDataCount:
			counted = true
		case sectionCode:
			n := content.uint()
			if n > uint64(len(content)) {
				return o, errOutline
			}
			body = binary.AppendUvarint(nil, n)
			for range n {
				body = append(body, 3, 0, 0x00, 0x0b) // three bytes: no locals, unreachable, end
			}
		case sectionData:
			if o.image, ok = content.image(o.memory); ok && !counted {
				continue
			}
			o.image = nil
		}
		o.module = append(binary.AppendUvarint(append(o.module, id), uint64(len(body))), body...)
	}
	return o, nil
}

// reader reads what is left of a module. Beyond the end there are zeros.
type reader []byte

func (r *reader) byte() (b byte) {
	if len(*r) > 0 {
		b, *r = (*r)[0], (*r)[1:]
	}
	return b
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(*r)
	*r = (*r)[max(n, 0):]
	return v
}

func (r *reader) bytes() (reader, bool) {
	n, size := binary.Uvarint(*r)
	if size <= 0 || n > uint64(len(*r)-size) {
		return nil, false
	}
	b := (*r)[size:][:n]
	*r = (*r)[size:][n:]
	return b, true
}

// offset reads the constant that says where a segment goes.
func (r *reader) offset() (uint64, bool) {
	if r.byte() != 0x41 { // i32.const
		return 0, false
	}
	v, n := binary.Uvarint(*r)
	if n <= 0 || n > 5 {
		return 0, false
	}
	if n < 5 && (*r)[n-1]&0x40 != 0 {
		v |= ^uint64(0) << (7 * n) // LEB128 with a sign
	}
	*r = (*r)[n:]
	return uint64(uint32(v)), r.byte() == 0x0b // end
}

// image is what the segments of a section of data make of a memory of that size, if all of them are simply copied
// there.
func (r reader) image(size uint64) (image []byte, ok bool) {
	for range r.uint() {
		if r.uint() != 0 { // passive, or of another memory
			return nil, false
		}
		at, ok := r.offset()
		data, ok2 := r.bytes()
		if end := at + uint64(len(data)); !ok || !ok2 || end > size {
			return nil, false
		} else if end > uint64(len(image)) {
			image = append(image, make([]byte, end-uint64(len(image)))...)
		}
		copy(image[at:], data)
	}
	return image, true
}
