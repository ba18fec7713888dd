//! What a document would cost the tree builder behind the cleaner. It is found out by letting the same tree builder
//! work on it piece by piece, with a tree that only counts: nesting, implied elements and repairs of unclosed formatting
//! follow rules that no estimate from outside can follow, and whoever wants to exhaust us looks for the difference.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use html5ever::interface::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::{Attribute, ExpandedName, ParseOpts, QualName, local_name, ns, parse_fragment};

use super::sanitize::{MAX_DEPTH, MAX_SIZE};

/// Nodes of the tree, those included that repair unclosed formatting.
const MAX_NODES: usize = 250_000;
/// Bytes of attributes in the tree: each repair repeats them.
const MAX_ATTRIBUTE_BYTES: usize = 4 << 20;
/// Attributes of one tag, which are compared pair by pair.
const MAX_ATTRIBUTES: usize = 1_000;
/// Siblings passed while a place among them is looked for.
const MAX_STEPS: usize = 50_000_000;
/// Ampersands: the tokeniser is worse than linear in them.
const MAX_REFERENCES: usize = 100_000;
/// Bytes that are handed to the tree builder between two looks at what they cost.
const PIECE: usize = 1 << 10;

/// Whether cleaning the document could take seconds or hundreds of megabytes.
pub(crate) fn is_costly(html: &str) -> bool {
    html.len() > MAX_SIZE
        || memchr::memchr_iter(b'&', html.as_bytes()).count() > MAX_REFERENCES
        || has_crowded_tag(html.as_bytes())
        || !is_built_within_limits(html)
}

/// Builds the tree as the cleaner would, and stops as soon as it is too much.
fn is_built_within_limits(html: &str) -> bool {
    let context = QualName::new(None, ns!(html), local_name!("div"));
    let mut parser = parse_fragment(Tree::default(), ParseOpts::default(), context, Vec::new(), false);
    let mut rest = html;
    let mut measured = 0;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.ceil_char_boundary(PIECE.min(rest.len())));
        rest = after;
        parser.process(StrTendril::from_slice(piece));
        if !parser.tokenizer.sink.sink.is_within_limits(&mut measured) {
            return false;
        }
    }
    parser.finish().is_within_limits(&mut measured)
}

/// Whether some tag has too many attributes. Which `<` begins a tag depends on everything before it (comments, foreign
/// elements, raw text), so every one that could is looked at.
fn has_crowded_tag(html: &[u8]) -> bool {
    let mut looked_at = 0;
    memchr::memchr_iter(b'<', html).any(|at| {
        let tag = &html[at + 1..];
        if !tag.first().is_some_and(u8::is_ascii_alphabetic) {
            return false;
        }
        let (attributes, length) = count_attributes(tag);
        looked_at += length;
        // Tags lie side by side. Only what was made to do so has thousands of them inside one another's values.
        attributes > MAX_ATTRIBUTES || looked_at > 8 * MAX_SIZE
    })
}

/// Counts the attributes of the tag whose name the bytes start with, as the standard reads them (section 13.2.5 of
/// HTML), up to one more than are allowed. The second number is how many bytes were looked at.
fn count_attributes(tag: &[u8]) -> (usize, usize) {
    #[derive(Clone, Copy)]
    enum State {
        TagName,
        BeforeName,
        Name,
        AfterName,
        BeforeValue,
        Quoted(u8),
        Unquoted,
    }
    let mut count = 0;
    let mut state = State::TagName;
    for (at, &byte) in tag.iter().enumerate() {
        let blank = matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c);
        state = match (state, byte) {
            (State::Quoted(quote), _) if byte == quote => State::BeforeName,
            (State::Quoted(_), _) => state,
            (_, b'>') => return (count, at),
            (State::BeforeValue, _) if blank => state,
            (State::BeforeValue, b'"' | b'\'') => State::Quoted(byte),
            (State::BeforeValue, _) => State::Unquoted,
            (State::Unquoted | State::TagName | State::BeforeName, _) if blank => State::BeforeName,
            (State::Unquoted, _) => state,
            (State::TagName | State::BeforeName | State::AfterName | State::Name, b'/') => State::BeforeName,
            (State::TagName, _) => state,
            (State::Name | State::AfterName, b'=') => State::BeforeValue,
            (State::Name | State::AfterName, _) if blank => State::AfterName,
            (State::Name, _) => state,
            (State::BeforeName | State::AfterName, _) => {
                count += 1;
                if count > MAX_ATTRIBUTES {
                    return (count, at);
                }
                State::Name
            }
        };
    }
    (count, tag.len())
}

/// An element, comment or the document; its place in the tree is noted in [`Tree`].
struct Node {
    id: usize,
    name: QualName,
    integrates_html: bool,
}

/// Where a node stands. Text has a place and nothing else.
#[derive(Default)]
struct Place {
    parent: Option<usize>,
    children: Vec<usize>,
    is_text: bool,
}

/// A tree without content.
struct Tree {
    document: Rc<Node>,
    places: RefCell<Vec<Place>>,
    attribute_bytes: Cell<usize>,
    steps: Cell<usize>,
    /// Attributes that later tags added to an element that is already there.
    added: Cell<usize>,
}

impl Default for Tree {
    fn default() -> Self {
        let name = QualName::new(None, ns!(), local_name!(""));
        Self {
            document: Rc::new(Node {
                id: 0,
                name,
                integrates_html: false,
            }),
            places: RefCell::new(vec![Place::default()]),
            attribute_bytes: Cell::new(0),
            steps: Cell::new(0),
            added: Cell::new(0),
        }
    }
}

impl Tree {
    /// Looks at the nodes that came since the last time.
    fn is_within_limits(&self, measured: &mut usize) -> bool {
        let places = self.places.borrow();
        let depth = |node: usize| {
            std::iter::successors(Some(node), |&n| places[n].parent)
                .take(MAX_DEPTH + 2)
                .count()
        };
        let too_deep = (*measured..places.len()).any(|node| depth(node) > MAX_DEPTH + 1);
        *measured = places.len();
        !too_deep
            && places.len() <= MAX_NODES
            && self.attribute_bytes.get() <= MAX_ATTRIBUTE_BYTES
            && self.steps.get() <= MAX_STEPS
    }

    fn add(&self, name: QualName, integrates_html: bool) -> Rc<Node> {
        let mut places = self.places.borrow_mut();
        places.push(Place::default());
        Rc::new(Node {
            id: places.len() - 1,
            name,
            integrates_html,
        })
    }

    fn step(&self, steps: usize) {
        self.steps.set(self.steps.get().saturating_add(steps));
    }

    fn note_attributes(&self, attributes: &[Attribute]) {
        let bytes: usize = attributes
            .iter()
            .map(|a| a.name.local.len() + a.value.len())
            .sum();
        self.attribute_bytes
            .set(self.attribute_bytes.get().saturating_add(bytes));
    }

    /// Puts a node, or a text unless one stands there already, before the child at `at`.
    fn insert(&self, parent: usize, at: usize, child: NodeOrText<Rc<Node>>) {
        let mut places = self.places.borrow_mut();
        let id = match child {
            NodeOrText::AppendNode(node) => node.id,
            NodeOrText::AppendText(_) => {
                let before = at.checked_sub(1).and_then(|i| places[parent].children.get(i));
                if before.is_some_and(|&b| places[b].is_text) {
                    return;
                }
                places.push(Place {
                    is_text: true,
                    ..Place::default()
                });
                places.len() - 1
            }
        };
        places[id].parent = Some(parent);
        let at = at.min(places[parent].children.len());
        places[parent].children.insert(at, id);
    }

    /// The parent of a node and its place among the children.
    fn find(&self, node: &Node) -> Option<(usize, usize)> {
        let places = self.places.borrow();
        let parent = places[node.id].parent?;
        let siblings = &places[parent].children;
        self.step(siblings.len());
        let at = siblings.iter().position(|&id| id == node.id)?;
        Some((parent, at))
    }
}

impl TreeSink for Tree {
    type Handle = Rc<Node>;
    type Output = Self;
    type ElemName<'a> = ExpandedName<'a>;

    fn finish(self) -> Self {
        self
    }

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> Rc<Node> {
        Rc::clone(&self.document)
    }

    fn elem_name<'a>(&'a self, target: &'a Rc<Node>) -> ExpandedName<'a> {
        target.name.expanded()
    }

    fn create_element(&self, name: QualName, attributes: Vec<Attribute>, flags: ElementFlags) -> Rc<Node> {
        self.note_attributes(&attributes);
        self.add(name, flags.mathml_annotation_xml_integration_point)
    }

    fn create_comment(&self, _: StrTendril) -> Rc<Node> {
        self.add(self.document.name.clone(), false)
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Rc<Node> {
        self.add(self.document.name.clone(), false)
    }

    fn append(&self, parent: &Rc<Node>, child: NodeOrText<Rc<Node>>) {
        let end = self.places.borrow()[parent.id].children.len();
        self.insert(parent.id, end, child);
    }

    fn append_based_on_parent_node(
        &self,
        element: &Rc<Node>,
        previous: &Rc<Node>,
        child: NodeOrText<Rc<Node>>,
    ) {
        let has_parent = self.places.borrow()[element.id].parent.is_some();
        if has_parent {
            self.append_before_sibling(element, child);
        } else {
            self.append(previous, child);
        }
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    /// What a template holds hangs below it here, so that it counts as deeper.
    fn get_template_contents(&self, target: &Rc<Node>) -> Rc<Node> {
        Rc::clone(target)
    }

    fn same_node(&self, one: &Rc<Node>, other: &Rc<Node>) -> bool {
        one.id == other.id
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &Rc<Node>, child: NodeOrText<Rc<Node>>) {
        if let NodeOrText::AppendNode(node) = &child {
            self.remove_from_parent(node);
        }
        if let Some((parent, at)) = self.find(sibling) {
            self.insert(parent, at, child);
        }
    }

    fn add_attrs_if_missing(&self, _: &Rc<Node>, attributes: Vec<Attribute>) {
        self.note_attributes(&attributes);
        self.added.set(self.added.get() + attributes.len());
        self.step(self.added.get());
    }

    fn remove_from_parent(&self, target: &Rc<Node>) {
        if let Some((parent, at)) = self.find(target) {
            let mut places = self.places.borrow_mut();
            places[parent].children.remove(at);
            places[target.id].parent = None;
        }
    }

    fn reparent_children(&self, node: &Rc<Node>, new_parent: &Rc<Node>) {
        let mut places = self.places.borrow_mut();
        let children = std::mem::take(&mut places[node.id].children);
        self.step(children.len());
        for &child in &children {
            places[child].parent = Some(new_parent.id);
        }
        places[new_parent.id].children.extend(children);
    }

    fn is_mathml_annotation_xml_integration_point(&self, node: &Rc<Node>) -> bool {
        node.integrates_html
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_ATTRIBUTES, count_attributes, is_costly};

    #[test]
    fn attributes_are_counted_as_the_standard_reads_them() {
        for (tag, count) in [
            ("p>", 0),
            ("p a b=c d = 'x>y' e=\"f\"g/h>i j", 6),
            ("p ='x a>b", 2),
            ("p a=b/c d>", 2),
            ("p =\"x=\">\" a=1>", 2),
            ("p/a/b", 2),
        ] {
            assert_eq!(count_attributes(tag.as_bytes()).0, count, "{tag}");
        }
    }

    /// Each of these hid from an estimate what the tree builder then had to do, for seconds or gigabytes.
    #[test]
    fn no_disguise_hides_what_a_document_costs() {
        let many = (0..=MAX_ATTRIBUTES)
            .map(|i| format!("a{i}=\">\" "))
            .collect::<String>();
        let deep = "<div>".repeat(300);
        let bold = |n: usize| (0..n).map(|i| format!("<b title={i}></i>")).collect::<String>();
        for (name, html) in [
            ("end tags that close nothing", "<div></x>".repeat(300)),
            (
                "formatting between them",
                format!("<div>{}</div>{}", bold(500), "<div>x</div>".repeat(2_000)),
            ),
            (
                "end tags out of reach",
                "<div><table><tr><td></div></table>".repeat(300),
            ),
            ("a comment that ends early", format!("<!-- --!>{deep}")),
            ("a title that is none", format!("<svg><title>{deep}")),
            (
                "attributes in a comment that ended",
                format!("<!-- --!><p {many}>"),
            ),
            (
                "attributes in a title that is none",
                format!("<svg><title><p {many}>"),
            ),
            (
                "an attribute that begins with a sign",
                format!("<p =\"x=\">\" {many}>"),
            ),
            (
                "what is moved before a table",
                format!("<table>{}", "<br>".repeat(20_000)),
            ),
            (
                "long attributes that are repeated",
                format!(
                    "<div>{}</div>{}",
                    (0..90)
                        .map(|i| format!("<b title=\"{i}{}\">", "x".repeat(800)))
                        .collect::<String>(),
                    "<div>x</div>".repeat(2_000)
                ),
            ),
            ("ampersands", "&".repeat(200_000)),
        ] {
            assert!(is_costly(&html), "{name}");
        }
    }

    #[test]
    fn what_mails_hold_is_not_costly() {
        let row = "<tr><td><font color=red><b>x</b></font><br>&nbsp;</td></tr>";
        for html in [
            "",
            "plain",
            "<p>a<p>b<br></p></p></p>",
            &format!("<table>{}</table>", row.repeat(2_000)),
            &"<table><tr><td>".repeat(40),
            &"<font size=2><p>x</font>".repeat(2_000),
            &format!("<img src=\"data:image/png;base64,{}\">", "AA/A".repeat(50_000)),
        ] {
            assert!(!is_costly(html), "{html:.80}");
        }
    }
}
