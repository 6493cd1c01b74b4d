// Package runpage makes the page of a run: one HTML file for people, who ask in the morning
// whether it ran, whether it is whole and what was odd; whether scores moved; and a year
// later which model made them of which inputs, and how that is proven.
//
// Read gathers what manifests, their chain and the rejected rows say (an Account), and
// Write draws it. The page stands alone: no scripts, nothing fetched. Every name in it is
// untrusted: of files, columns, labels and settings.
package runpage
