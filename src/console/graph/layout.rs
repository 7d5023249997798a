//! Where nodes and edges stand: Sugiyama's layers. Each node is a layer below the lowest that leads to it, edges over
//! several layers get a place in each, and neighbours are ordered by the middle of what they hang on.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Graph, Node};

const WIDTH: f64 = 200.0;
const HEIGHT: f64 = 52.0;
const GAP: f64 = 28.0;
const BETWEEN: f64 = 64.0;
const MARGIN: f64 = 12.0;
/// Width of a place that an edge only passes.
const LANE: f64 = 16.0;
/// Signs of a label that have room in a node.
const SIGNS: usize = 23;
/// How often the order is improved.
const ROUNDS: usize = 8;

/// A drawing.
#[derive(Debug, Serialize)]
pub(super) struct Layout {
    width: f64,
    height: f64,
    nodes: Vec<Card>,
    edges: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Card {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    middle: f64,
    label_y: f64,
    kind_y: f64,
    label: String,
    kind: String,
    whole: String,
}

#[derive(Debug, Serialize)]
struct Line {
    /// The path's commands.
    path: String,
    label: String,
    x: f64,
    y: f64,
}

/// Something with a place in a layer: a node, or an edge that passes.
#[derive(Debug, Clone)]
struct Spot {
    node: Option<usize>,
    layer: usize,
    x: f64,
    above: Vec<usize>,
    below: Vec<usize>,
}

/// Draws the graph.
pub(super) fn draw(graph: &Graph) -> Layout {
    let forward = forward(graph);
    let layers = layers(graph.nodes.len(), &forward);
    let (mut spots, ways) = spots(&layers, &forward);
    let mut rows = rows(&spots);
    order(&mut rows, &spots);
    let width = place(&rows, &mut spots);
    let height = real(rows.len()) * (HEIGHT + BETWEEN) - BETWEEN + 2.0 * MARGIN;
    let nodes = spots.iter().filter_map(|spot| Some(boxed(spot, &graph.nodes[spot.node?])));
    let label = |at: usize| graph.edges[at].label.as_str();
    let edges = ways.iter().enumerate().map(|(at, way)| line(way, &spots, label(at))).collect();
    Layout { width, height, nodes: nodes.collect(), edges }
}

/// The edges, turned around where they would close a circle.
fn forward(graph: &Graph) -> Vec<(usize, usize, bool)> {
    let mut next = vec![Vec::new(); graph.nodes.len()];
    for (at, edge) in graph.edges.iter().enumerate() {
        next[edge.from].push(at);
    }
    let mut back = vec![false; graph.edges.len()];
    // 0: not seen; 1: above on the way; 2: done.
    let mut seen = vec![0u8; graph.nodes.len()];
    for start in 0..graph.nodes.len() {
        let mut way = vec![(start, 0)];
        while let Some((node, tried)) = way.pop() {
            if tried == 0 && seen[node] != 0 {
                continue;
            }
            seen[node] = 1;
            let Some(edge) = next[node].get(tried) else {
                seen[node] = 2;
                continue;
            };
            way.push((node, tried + 1));
            let to = graph.edges[*edge].to;
            match seen[to] {
                0 => way.push((to, 0)),
                1 => back[*edge] = true,
                _ => {}
            }
        }
    }
    let turned = |(at, edge): (usize, &super::Edge)| {
        if back[at] { (edge.to, edge.from, true) } else { (edge.from, edge.to, false) }
    };
    graph.edges.iter().enumerate().map(turned).collect()
}

/// The layer of each node: the longest way to it.
fn layers(nodes: usize, edges: &[(usize, usize, bool)]) -> Vec<usize> {
    let mut layers = vec![0; nodes];
    let mut waits = vec![0; nodes];
    for (from, to, _) in edges.iter().filter(|(from, to, _)| from != to) {
        waits[*to] += usize::from(from != to);
    }
    let mut ready: Vec<usize> = (0..nodes).filter(|node| waits[*node] == 0).collect();
    while let Some(node) = ready.pop() {
        for (_, to, _) in edges.iter().filter(|(from, to, _)| *from == node && from != to) {
            layers[*to] = layers[*to].max(layers[node] + 1);
            waits[*to] -= 1;
            if waits[*to] == 0 {
                ready.push(*to);
            }
        }
    }
    layers
}

/// A place for each node and for each layer that an edge passes, and the places of each edge.
fn spots(layers: &[usize], edges: &[(usize, usize, bool)]) -> (Vec<Spot>, Vec<(Vec<usize>, bool)>) {
    let new = |node, layer| Spot { node, layer, x: 0.0, above: Vec::new(), below: Vec::new() };
    let mut spots: Vec<Spot> =
        layers.iter().enumerate().map(|(node, layer)| new(Some(node), *layer)).collect();
    let mut ways = Vec::with_capacity(edges.len());
    for (from, to, turned) in edges {
        let mut way = vec![*from];
        for layer in layers[*from] + 1..layers[*to] {
            way.push(spots.len());
            spots.push(new(None, layer));
        }
        way.push(*to);
        for pair in way.windows(2).filter(|pair| pair[0] != pair[1]) {
            spots[pair[0]].below.push(pair[1]);
            spots[pair[1]].above.push(pair[0]);
        }
        ways.push((way, *turned));
    }
    (spots, ways)
}

fn rows(spots: &[Spot]) -> Vec<Vec<usize>> {
    let deepest = spots.iter().map(|spot| spot.layer).max().unwrap_or(0);
    let mut rows = vec![Vec::new(); deepest + 1];
    for (at, spot) in spots.iter().enumerate() {
        rows[spot.layer].push(at);
    }
    rows
}

/// Orders each row by the middle of what it hangs on above, then below, and so on.
fn order(rows: &mut [Vec<usize>], spots: &[Spot]) {
    let mut places = vec![0.0; spots.len()];
    let number = |rows: &[Vec<usize>], places: &mut Vec<f64>| {
        for row in rows {
            row.iter().enumerate().for_each(|(at, spot)| places[*spot] = real(at));
        }
    };
    number(rows, &mut places);
    for round in 0..ROUNDS {
        let down = round % 2 == 0;
        let count = rows.len();
        for step in 0..count {
            let row = &mut rows[if down { step } else { count - 1 - step }];
            let hangs = |spot: &usize| if down { &spots[*spot].above } else { &spots[*spot].below };
            let key = |spot: &usize| middle(hangs(spot), &places).unwrap_or(places[*spot]);
            let mut keys: Vec<(f64, usize)> = row.iter().map(|spot| (key(spot), *spot)).collect();
            keys.sort_by(|a, b| a.0.total_cmp(&b.0));
            *row = keys.into_iter().map(|(_, spot)| spot).collect();
            row.iter().enumerate().for_each(|(at, spot)| places[*spot] = real(at));
        }
    }
}

fn middle(of: &[usize], places: &[f64]) -> Option<f64> {
    let sum: f64 = of.iter().map(|spot| places[*spot]).sum();
    (!of.is_empty()).then(|| sum / real(of.len()))
}

const fn room(spot: &Spot) -> f64 {
    if spot.node.is_some() { WIDTH } else { LANE }
}

/// Gives every spot its middle: near what it hangs on, and beside its neighbours. Returns the width of all.
fn place(rows: &[Vec<usize>], spots: &mut [Spot]) -> f64 {
    for row in rows {
        let mut least = MARGIN;
        for spot in row {
            let xs: Vec<f64> = spots[*spot].above.iter().map(|above| spots[*above].x).collect();
            let wanted = if xs.is_empty() { 0.0 } else { xs.iter().sum::<f64>() / real(xs.len()) };
            let half = room(&spots[*spot]) / 2.0;
            spots[*spot].x = wanted.max(least + half);
            least = spots[*spot].x + half + GAP;
        }
    }
    // Rows were only pushed to the right; what hangs on them draws those above after.
    for row in rows.iter().rev() {
        let mut most = f64::INFINITY;
        for spot in row.iter().rev() {
            let xs: Vec<f64> = spots[*spot].below.iter().map(|below| spots[*below].x).collect();
            let half = room(&spots[*spot]) / 2.0;
            if !xs.is_empty() {
                let wanted = xs.iter().sum::<f64>() / real(xs.len());
                spots[*spot].x = wanted.max(spots[*spot].x).min((most - half).max(spots[*spot].x));
            }
            most = spots[*spot].x - half - GAP;
        }
    }
    let right = spots.iter().map(|spot| spot.x + room(spot) / 2.0).fold(0.0, f64::max);
    right + MARGIN
}

/// A small number for the arithmetic of places.
fn real(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

fn top(spot: &Spot) -> f64 {
    MARGIN + real(spot.layer) * (HEIGHT + BETWEEN)
}

fn boxed(spot: &Spot, node: &Node) -> Card {
    let y = top(spot);
    Card {
        x: spot.x - WIDTH / 2.0,
        y,
        width: WIDTH,
        height: HEIGHT,
        middle: spot.x,
        label_y: y + 22.0,
        kind_y: y + 40.0,
        label: cut(&node.label),
        kind: cut(&node.kind),
        whole: format!("{}: {}", node.label, node.kind),
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SIGNS {
        return text.to_owned();
    }
    text.chars().take(SIGNS - 1).chain(['…']).collect()
}

/// The way of an edge through its spots, as smooth pieces. The arrow is at the end of the path.
fn line((way, turned): &(Vec<usize>, bool), spots: &[Spot], label: &str) -> Line {
    let ends = |spot: &Spot| {
        let (top, height) = (top(spot), if spot.node.is_some() { HEIGHT } else { 0.0 });
        (top, top + height)
    };
    let first = &spots[way[0]];
    if way.len() == 2 && way[0] == way[1] {
        return itself(first, label);
    }
    let mut points = Vec::new();
    for pair in way.windows(2) {
        let (from, to) = (&spots[pair[0]], &spots[pair[1]]);
        points.push(((from.x, ends(from).1), (to.x, ends(to).0)));
        if to.node.is_none() {
            points.push(((to.x, ends(to).0), (to.x, ends(to).1)));
        }
    }
    if *turned {
        points = points.into_iter().rev().map(|(from, to)| (to, from)).collect();
    }
    let ((x, y), (next_x, next_y)) = points[0];
    let mut path = format!("M{x:.1} {y:.1}");
    for ((start, from), (x, to)) in &points {
        let bend = (from + to) / 2.0;
        let _ = write!(path, " C{start:.1} {bend:.1} {x:.1} {bend:.1} {x:.1} {to:.1}");
    }
    let (label_x, label_y) = (x + (next_x - x) * 0.5, y + (next_y - y) * 0.5);
    Line { path, label: cut(label), x: label_x, y: label_y }
}

/// An edge from a node to itself.
fn itself(spot: &Spot, label: &str) -> Line {
    let (right, y) = (spot.x + WIDTH / 2.0, top(spot));
    let (out, low) = (right + GAP - 4.0, y + HEIGHT * 0.75);
    let high = y + HEIGHT * 0.25;
    let path =
        format!("M{right:.1} {low:.1} C{out:.1} {low:.1} {out:.1} {high:.1} {right:.1} {high:.1}");
    Line { path, label: cut(label), x: right, y: y - 4.0 }
}

#[cfg(test)]
mod tests {
    use super::super::Edge;
    use super::*;

    fn graph(nodes: usize, edges: &[(usize, usize)]) -> Graph {
        let node =
            |n: usize| Node { id: n.to_string(), label: format!("node {n}"), kind: "k".to_owned() };
        let edge =
            |(from, to): &(usize, usize)| Edge { from: *from, to: *to, label: String::new() };
        Graph { nodes: (0..nodes).map(node).collect(), edges: edges.iter().map(edge).collect() }
    }

    fn overlaps(layout: &Layout) -> bool {
        let meets = |a: &Card, b: &Card| {
            a.x < b.x + b.width
                && b.x < a.x + a.width
                && a.y < b.y + b.height
                && b.y < a.y + a.height
        };
        let nodes = &layout.nodes;
        (0..nodes.len()).any(|a| (0..a).any(|b| meets(&nodes[a], &nodes[b])))
    }

    #[test]
    fn what_follows_stands_below() {
        let layout = draw(&graph(4, &[(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]));
        let y = |at: usize| layout.nodes[at].y;
        assert!(y(0) < y(1) && y(1) < y(3) && y(1).to_bits() == y(2).to_bits());
        assert!(!overlaps(&layout));
        assert_eq!(layout.edges.len(), 5);
    }

    /// Flows with loops must end too, and nothing stands on anything.
    #[test]
    fn circles_and_crowds_are_drawn() {
        let circle = draw(&graph(4, &[(0, 1), (1, 2), (2, 0), (2, 2), (3, 3)]));
        assert!(!overlaps(&circle));
        let crowd: Vec<_> = (1..60).flat_map(|n| [(n / 3, n), (n, n / 2), (n / 5, n)]).collect();
        let layout = draw(&graph(60, &crowd));
        assert!(!overlaps(&layout));
        let inside = |node: &Card| {
            node.x >= 0.0
                && node.x + node.width <= layout.width
                && node.y + node.height <= layout.height
        };
        assert!(layout.nodes.iter().all(inside));
        assert_eq!(layout.edges.len(), crowd.len());
        assert!(layout.edges.iter().all(|edge| !edge.path.contains("NaN")));
    }
}
