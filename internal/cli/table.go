package cli

import (
	"io"
	"strings"
	"unicode/utf8"
)

// Table lays cells out in columns. Headings that end in ">" are flushed right.
type Table struct {
	heads []string
	right []bool
	rows  [][]cell
}

type cell struct {
	text  string
	paint Paint
}

// NewTable returns a table with these headings.
func NewTable(heads ...string) *Table {
	t := &Table{}
	for _, h := range heads {
		name, right := strings.CutSuffix(h, ">")
		t.heads, t.right = append(t.heads, name), append(t.right, right)
	}
	return t
}

// Row adds a row; an empty cell is shown as "-". Cells may be longer or fewer than the headings.
func (t *Table) Row(cells ...string) {
	row := make([]cell, len(cells))
	for i, c := range cells {
		if c == "" {
			c = "-"
		}
		row[i].text = Clean(c)
	}
	t.rows = append(t.rows, row)
}

// Paint colours a cell of the last row.
func (t *Table) Paint(column int, p Paint) { t.rows[len(t.rows)-1][column].paint = p }

// Blank empties a cell of the last row, where "-" would be noise.
func (t *Table) Blank(column int) { t.rows[len(t.rows)-1][column].text = "" }

// Len returns the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Write writes the table, headings first. Columns are two spaces apart and lines have no trailing spaces; on a terminal
// lines are cut at its width.
func (t *Table) Write(w io.Writer, st Style) error {
	widths := t.widths()
	head := make([]cell, len(t.heads))
	for i, h := range t.heads {
		head[i] = cell{h, Head}
	}
	var b strings.Builder
	for _, r := range append([][]cell{head}, t.rows...) {
		t.line(&b, r, widths, st)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// widths returns the width of each column.
func (t *Table) widths() []int {
	widths := make([]int, len(t.heads))
	for i, h := range t.heads {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, r := range t.rows {
		for i := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i].text))
		}
	}
	return widths
}

// Width returns the columns of a terminal that the table takes.
func (t *Table) Width() int {
	sum := 2 * (len(t.heads) - 1)
	for _, w := range t.widths() {
		sum += w
	}
	return sum
}

// Extend adds a last column; cells are as many as there are rows.
func (t *Table) Extend(head string, cells []string) {
	t.heads, t.right = append(t.heads, head), append(t.right, false)
	for i, c := range cells {
		t.rows[i] = append(t.rows[i], cell{text: c})
	}
}

func (t *Table) line(b *strings.Builder, row []cell, widths []int, st Style) {
	last := len(row) - 1
	for last >= 0 && row[last].text == "" {
		last--
	}
	column, gap := 0, 0 // what is written, and the spaces owed before the next cell
	for i := 0; i <= last; i++ {
		text := row[i].text
		pad := widths[i] - utf8.RuneCountInString(text)
		if t.right[i] {
			gap, pad = gap+pad, 0
		}
		if st.Width > 0 && column+gap+utf8.RuneCountInString(text) > st.Width {
			text = cut(text, st.Width-column-gap)
			last = i
			if text == "" {
				break
			}
		}
		b.WriteString(strings.Repeat(" ", gap))
		b.WriteString(st.Text(row[i].paint, text))
		column += gap + utf8.RuneCountInString(text)
		gap = pad + 2
	}
	b.WriteByte('\n')
}

// cut shortens s to width columns, the last one an ellipsis.
func cut(s string, width int) string {
	if width <= 0 {
		return ""
	}
	r := []rune(s)
	if len(r) <= width {
		return s
	}
	return string(r[:width-1]) + "…"
}
