package bench

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// onDevice is a measurement of a model on a device, whose memory grows from stage to
// stage.
func onDevice() *Bench {
	arm := Arm{Provider: "cuda", BatchRows: 65536, Workers: 4, IntraOpThreads: 1}
	b := &Bench{Head: Head{Machine: Machine{Cores: 16}, Data: Data{Rows: 1e6}}, Repeats: slices.Concat(
		stageRepeats(StageRead, arm, 16, 90e6, 91e6), stageRepeats(StageAssemble, arm, 16, 120e6, 121e6), stageRepeats(StageWrite, arm, 6, 95e6, 96e6),
		stageRepeats(StageCopyIn, arm, 1, 430e6, 431e6), stageRepeats(StageCompute, arm, 1, 600e6, 601e6), stageRepeats(StageCopyOut, arm, 1, 9e9, 9.1e9),
		stageRepeats(StageInfer, arm, 2, 400e6, 401e6), stageRepeats(StageEndToEnd, arm, 15, 80e6, 81e6),
	)}
	for i := range b.Repeats {
		r := &b.Repeats[i]
		r.PeakDeviceMemoryBytes = int64(i+1) << 30
		if r.Stage == StageEndToEnd {
			r.PeakMemoryBytes = 1 << 30
		}
	}
	return b
}

// Memory of the device stands in tables and on the page where there is one, the
// most of all repeats, and nowhere else.
func TestDeviceMemory(t *testing.T) {
	b, cpu := onDevice(), onDevice()
	for i := range cpu.Repeats {
		cpu.Repeats[i].Provider, cpu.Repeats[i].PeakDeviceMemoryBytes = "cpu", 0
	}
	write := func(benches ...*Bench) (table, lines, page string) {
		var w, l bytes.Buffer
		if err := WriteTable(&w, benches); err != nil {
			t.Fatal(err)
		}
		if err := WriteBenchfmt(&l, benches); err != nil {
			t.Fatal(err)
		}
		return w.String(), l.String(), report(t, "", benches)
	}
	table, lines, page := write(b)
	for _, want := range []string{
		"1.0 GiB of memory and 16 GiB of the device's at most",
		"most of the device's memory in use: copy to the device 8.0 GiB, compute 10 GiB, copy from the device 12 GiB, infer 14 GiB\n",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("the table has no %q:\n%s", want, table)
		}
	}
	if want := "1.7179869184e+10 peak-device-B"; !strings.Contains(lines, want) {
		t.Errorf("benchmark lines have no %q:\n%s", want, lines)
	}
	for _, want := range []string{`<th scope="col">device memory</th>`, "<td>10 GiB</td>", "memory of the device"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %q", want)
		}
	}
	if beside, _, _ := write(b, cpu); !strings.Contains(beside, "memory of the device") || !strings.Contains(beside, "16 GiB") {
		t.Errorf("side by side there is no memory of the device:\n%s", beside)
	}
	table, lines, page = write(cpu)
	for _, none := range []string{"device memory", "the device's", "peak-device-B", "memory of the device"} {
		if strings.Contains(table+lines+page, none) {
			t.Errorf("%q is told of the CPU", none)
		}
	}
}
