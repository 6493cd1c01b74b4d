package parquetfile

import (
	"math"

	"github.com/apache/arrow-go/v18/parquet"
)

// Kinds of pages: PageType in parquet.thrift.
const (
	dataPage       = 0
	dictionaryPage = 2
	dataPageV2     = 3
)

// pageHeader is what a page's header says. Statistics are passed over.
type pageHeader struct {
	kind         int
	stored       int // bytes in the file
	uncompressed int // bytes once decompressed, levels included

	values         int // in a data page: levels, nulls included
	encoding       parquet.Encoding
	defEnc, repEnc parquet.Encoding // of a version 1 data page
	defLen, repLen int              // bytes, of a version 2 data page
	compressed     bool             // the values of a version 2 data page
}

// maxPageHeaderStructs bounds the structures within a page header; the format
// has 4 and grows slowly.
const maxPageHeaderStructs = 64

// Fields of PageHeader that are structures, one per kind of page.
const (
	pageHeaderData       = 5
	pageHeaderDictionary = 7
	pageHeaderDataV2     = 8
)

// readPageHeader decodes the page header at the front of b and returns its
// length too. An error may only mean that b ends within the header.
//
//	PageHeader:           1 type  2 uncompressed_page_size  3 compressed_page_size
//	                      5 data_page_header  7 dictionary_page_header  8 data_page_header_v2
//	DataPageHeader:       1 num_values  2 encoding  3 definition_level_encoding  4 repetition_level_encoding
//	DictionaryPageHeader: 1 num_values  2 encoding
//	DataPageHeaderV2:     1 num_values  2 num_nulls  3 num_rows  4 encoding
//	                      5 definition_levels_byte_length  6 repetition_levels_byte_length  7 is_compressed
//
// Source: parquet-format:src/main/thrift/parquet.thrift.
func readPageHeader(b []byte) (h pageHeader, length int, err error) {
	w := &thriftWalk{what: "page header", b: b, maxStructs: maxPageHeaderStructs}
	var body smallInts
	part := int16(0)
	head := smallInts{1: -1, 2: -1, 3: -1}
	err = w.ints(&head, func(id int16) (bool, error) {
		if id != pageHeaderData && id != pageHeaderDictionary && id != pageHeaderDataV2 {
			return false, nil
		}
		part, body = id, smallInts{7: 1} // a page is compressed unless it says no
		return true, w.ints(&body, nil)
	})
	if err != nil {
		return h, 0, err
	}
	h = pageHeader{kind: int(head[1]), uncompressed: int(head[2]), stored: int(head[3]), values: int(body[1])}
	want := part
	switch h.kind {
	case dataPage:
		want = pageHeaderData
		h.encoding, h.defEnc, h.repEnc = parquet.Encoding(body[2]), parquet.Encoding(body[3]), parquet.Encoding(body[4])
	case dictionaryPage:
		want = pageHeaderDictionary
		h.encoding = parquet.Encoding(body[2])
	case dataPageV2:
		want = pageHeaderDataV2
		h.encoding, h.defLen, h.repLen, h.compressed = parquet.Encoding(body[4]), int(body[5]), int(body[6]), body[7] != 0
	}
	if part != want {
		return h, 0, damaged("page header of type %d is without its own part", h.kind)
	}
	if min(h.stored, h.uncompressed, h.values, h.defLen, h.repLen) < 0 {
		return h, 0, damaged("page of %d bytes (%d uncompressed) with %d values and levels of %d and %d bytes",
			h.stored, h.uncompressed, h.values, h.repLen, h.defLen)
	}
	return h, w.pos, nil
}

// smallInts are the fields of a structure that are 32-bit integers or booleans
// (0 and 1), by field id.
type smallInts [9]int64

// ints reads one structure. part is called for fields that are structures; it
// reads one and says so, or leaves it to be passed over. So is all else.
func (w *thriftWalk) ints(into *smallInts, part func(id int16) (bool, error)) error {
	id := int16(0)
	for {
		typ, err := w.field(&id)
		if err != nil || typ == thriftStop {
			return err
		}
		taken, known := false, id > 0 && int(id) < len(into)
		switch {
		case typ == thriftI32 && known:
			into[id], err = w.varint()
			if into[id] != int64(int32(into[id])) {
				return w.fail("integer beyond 32 bits")
			}
			taken = true
		case (typ == thriftTrue || typ == thriftFalse) && known:
			into[id] = int64(thriftFalse - typ)
			taken = true
		case typ == thriftStruct && part != nil:
			taken, err = part(id)
		}
		if err == nil && !taken {
			err = w.value(typ, math.MaxUint32, 1, false)
		}
		if err != nil {
			return err
		}
	}
}
