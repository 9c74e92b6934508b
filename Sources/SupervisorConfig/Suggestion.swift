// "Did you mean": the nearest of the known names, when one is near enough to be meant.

/// The candidate that `name` is most likely a slip of; nil when none is near. At most a third of the letters may
/// differ, and never more than three.
func nearest<Candidates: Sequence>(to name: String, among candidates: Candidates) -> String?
where Candidates.Element == String {
  let typed = Array(name.lowercased().utf8)
  guard !typed.isEmpty, typed.count <= 64 else { return nil }
  var best: (name: String, rank: Int)?
  for candidate in candidates {
    let known = Array(candidate.lowercased().utf8)
    guard known.count <= 64 else { continue }
    let limit = min(3, max(1, max(typed.count, known.count) / 3))
    guard abs(known.count - typed.count) <= limit else { continue }
    let distance = editDistance(typed, known)
    guard distance <= limit else { continue }
    // Of equally near ones, the one of the same length: letters are swapped or mistyped more often than lost.
    let rank = distance * 2 + (known.count == typed.count ? 0 : 1)
    if let found = best, found.rank < rank || (found.rank == rank && !precedes(candidate, found.name)) { continue }
    best = (candidate, rank)
  }
  return best?.name
}

/// Insertions, deletions, substitutions and swaps of neighbours that lead from `a` to `b` (optimal string alignment).
func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  if a.isEmpty || b.isEmpty { return max(a.count, b.count) }
  var beforeLast = [Int](repeating: 0, count: b.count + 1)
  var last = Array(0...b.count)
  for i in 1...a.count {
    var current = [i]
    current.reserveCapacity(b.count + 1)
    for j in 1...b.count {
      let same = a[i - 1] == b[j - 1]
      var cost = min(last[j] + 1, current[j - 1] + 1, last[j - 1] + (same ? 0 : 1))
      if i > 1, j > 1, a[i - 1] == b[j - 2], a[i - 2] == b[j - 1] { cost = min(cost, beforeLast[j - 2] + 1) }
      current.append(cost)
    }
    beforeLast = last
    last = current
  }
  return last[b.count]
}
